"""Small model folders and weight files for tests."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

CONFIG: dict[str, Any] = {
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "num_hidden_layers": 2,
    "hidden_size": 8,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 2,
    "vocab_size": 16,
    "max_position_embeddings": 512,
    "torch_dtype": "bfloat16",
}


def safetensors_bytes(tensors: Mapping[str, tuple[str, Sequence[int], int]], data: bytes | None = None) -> bytes:
    """A safetensors file of `name -> (dtype, shape, bytes)`, filled with `data` or zeros."""
    entries, offset = {}, 0
    for name, (dtype, shape, size) in tensors.items():
        entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    return safetensors_of_header(json.dumps(entries).encode(), data if data is not None else bytes(offset))


def safetensors_of_header(header: bytes, data: bytes = b"") -> bytes:
    """A file with any header, valid or not."""
    return struct.pack("<Q", len(header)) + header + data


def make_model_dir(
    directory: Path, *, config: Mapping[str, Any] | None = None, size: int = 4096, seed: int = 0
) -> Path:
    """A folder with config, tokenizer and one safetensors file of about `size` bytes; `seed` changes the weights."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps({**CONFIG, **(config or {})}))
    (directory / "tokenizer.json").write_text("{}")
    (directory / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ messages }}"}))
    (directory / "README.md").write_text("---\nlicense: apache-2.0\nbase_model:\n- maker/base-1\n---\n# A model\n")
    count = max(size // 2, 1)
    data = random.Random(seed).randbytes(count * 2)
    weights = safetensors_bytes({"model.embed_tokens.weight": ("BF16", [count], count * 2)}, data)
    (directory / "model.safetensors").write_bytes(weights)
    return directory


def gguf_string(text: str) -> bytes:
    """A GGUF string."""
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def gguf_bytes(
    fields: Mapping[str, int | str | Sequence[str]],
    tensors: Mapping[str, tuple[int, Sequence[int], int]],
    *,
    version: int = 3,
) -> bytes:
    """A GGUF file: integer, text and text-array fields, `name -> (type id, dimensions, bytes)` tensors of zeros."""
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(fields))
    for key, value in fields.items():
        head += gguf_string(key)
        if isinstance(value, int):
            head += struct.pack("<II", 4, value)
        elif isinstance(value, str):
            head += struct.pack("<I", 8) + gguf_string(value)
        else:
            head += struct.pack("<IIQ", 9, 8, len(value)) + b"".join(gguf_string(item) for item in value)
    offset = 0
    for name, (kind, shape, size) in tensors.items():
        head += gguf_string(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape)
        head += struct.pack("<IQ", kind, offset)
        offset += -(-size // 32) * 32
    return head + bytes(-len(head) % 32) + bytes(offset)
