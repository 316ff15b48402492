"""Write a copy of the model whose weights are shuffled inside each tensor.

The copy has the same files, shapes and value distribution and knows nothing: a test that still passes on it
tests nothing.

    python demo/shuffle.py TARGET [--model demo/model] [--seed 1]
"""

import argparse
import json
import random
import shutil
from array import array
from pathlib import Path

MODEL = Path(__file__).resolve().parent / "model"


def shuffle_safetensors(source: Path, target: Path, seed: int) -> None:
    """Copy one safetensors file of 16-bit tensors, each tensor's values in random order.

    Layout: 8 bytes little-endian header length, JSON header with `data_offsets` per tensor, then the values
    (https://github.com/huggingface/safetensors#format). Raises ValueError for tensors that are not 16 bits wide.
    """
    raw = source.read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    header: dict[str, dict[str, str | list[int]]] = json.loads(raw[8:start])
    body = bytearray(raw[start:])
    rng = random.Random(seed)
    for name, entry in sorted(header.items()):
        if name == "__metadata__":
            continue
        if entry["dtype"] not in ("BF16", "F16"):
            raise ValueError(f"{source.name}: tensor {name} is {entry['dtype']}; only BF16 and F16 can be shuffled")
        begin, end = (int(offset) for offset in entry["data_offsets"])
        values = array("H", bytes(body[begin:end]))
        rng.shuffle(values)
        body[begin:end] = values.tobytes()
    target.write_bytes(raw[:start] + body)


def shuffled_copy(target: Path, model: Path = MODEL, seed: int = 1) -> None:
    """Write the copy into `target`, which must not exist yet. Takes a few seconds."""
    shutil.copytree(model, target, ignore=shutil.ignore_patterns("*.safetensors"))
    for source in sorted(model.glob("*.safetensors")):
        shuffle_safetensors(source, target / source.name, seed)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Copy the demonstration model with shuffled weights.")
    parser.add_argument("target", type=Path)
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    shuffled_copy(options.target, options.model, options.seed)


if __name__ == "__main__":
    main()
