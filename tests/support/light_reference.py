"""Writes tests/fixtures/light_reference.json: what the light engine's models answer in plain torch.

    python -m tests.support.light_reference       needs torch and transformers as in demo/requirements.txt

Every text is computed alone, so nothing is padded. The tests compare the engine's batches with it.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from tests.support.minilm import fetch_minilm
from tests.support.tiny_bert import write_tiny_bert
from tests.support.tiny_encoders import CONFIGS, write_tiny_encoder

FIXTURE = Path(__file__).parents[1] / "fixtures" / "light_reference.json"
QUERY = "where is the old bridge ?"
DOCUMENTS = ["the bridge is in the city .", "a dog sleeps on bread .", "the old river", "who runs in the city ?"]
DEMO = Path(__file__).parents[2] / "demo"
FAQ = [json.loads(line) for line in (DEMO / "faq.jsonl").read_text("utf-8").splitlines()]
FAQ_QUESTIONS = [row["question"] for row in FAQ[:4]]
FAQ_ANSWERS = [row["answer"] for row in FAQ[:12]]
TEXTS = ["the old bridge", "a dog sleeps on the bread in the city .", "who is the cat ?"]
SENTENCES = [
    "How do I publish a model as a service?",
    "The quick brown fox jumps over the lazy dog.",
    "A service is desired state: serve this version, so many replicas, there. " * 6,
    "機器學習平台",
]


def main() -> None:
    """Computes and writes."""
    found: dict[str, Any] = {"minilm": _embed(fetch_minilm(), SENTENCES)}
    pairs = [(question, answer) for question in FAQ_QUESTIONS for answer in FAQ_ANSWERS]
    found["demo-rerank"] = _classify(DEMO / "rerank" / "model", pairs)
    with tempfile.TemporaryDirectory() as folder:
        bert = write_tiny_bert(Path(folder) / "bert")
        found["bert-cross-encoder"] = _classify(bert, [(QUERY, document) for document in DOCUMENTS])
        for name in CONFIGS:
            directory = write_tiny_encoder(Path(folder) / name, name)
            compute = _embed if name.endswith("embedding") else _classify
            found[name] = compute(directory, TEXTS)
    FIXTURE.write_text(json.dumps(found, indent=0) + "\n", "utf-8")


def _classify(folder: Path, texts: list[Any]) -> list[list[float]]:
    """Logits."""
    import torch  # noqa: PLC0415
    from transformers import AutoModelForSequenceClassification  # noqa: PLC0415

    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        return [_plain(model(**_tokens(folder, text, model)).logits[0]) for text in texts]


def _embed(folder: Path, texts: list[str]) -> list[list[float]]:
    """The mean over all tokens, at length 1."""
    import torch  # noqa: PLC0415
    from transformers import AutoModel  # noqa: PLC0415

    model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        rows = [model(**_tokens(folder, text, model)).last_hidden_state[0].mean(0) for text in texts]
        return [_plain(torch.nn.functional.normalize(row, dim=0)) for row in rows]


def _tokens(folder: Path, text: Any, model: Any) -> dict[str, Any]:
    import torch  # noqa: PLC0415
    from tokenizers import Tokenizer  # noqa: PLC0415

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    found = tokenizer.encode(*text) if isinstance(text, tuple) else tokenizer.encode(text)
    values = {"input_ids": torch.tensor([found.ids]), "attention_mask": torch.ones(1, len(found.ids))}
    if getattr(model.config, "type_vocab_size", 1) > 1:
        values["token_type_ids"] = torch.tensor([found.type_ids])
    return values


def _plain(row: Any) -> list[float]:
    return [round(float(value), 6) for value in row]


if __name__ == "__main__":
    main()
