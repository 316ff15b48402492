"""Tiny encoders of other families than BERT's own, with random weights: what the light engine knows besides."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tests.support.model_files import safetensors_bytes
from tests.support.tiny_bert import VOCABULARY, write_tiny_bert

_WIDTH, _LAYERS, _HEADS, _INNER, _POSITIONS = 32, 2, 4, 48, 64
Shapes = Iterator[tuple[str, list[int]]]
_COMMON: dict[str, Any] = {
    "vocab_size": len(VOCABULARY),
    "max_position_embeddings": _POSITIONS,
    "num_hidden_layers": _LAYERS,
    "num_attention_heads": _HEADS,
    "hidden_size": _WIDTH,
    "intermediate_size": _INNER,
    "hidden_dropout_prob": 0.0,
    "layer_norm_eps": 1e-5,
}
_DISTIL = {
    "n_layers": _LAYERS,
    "n_heads": _HEADS,
    "dim": _WIDTH,
    "hidden_dim": _INNER,
    "activation": "gelu",
    "vocab_size": len(VOCABULARY),
    "max_position_embeddings": _POSITIONS,
    "pad_token_id": 0,
}
_LABELS = {"id2label": {"0": "safe", "1": "rude", "2": "spam"}, "label2id": {"safe": 0, "rude": 1, "spam": 2}}
CONFIGS: dict[str, dict[str, Any]] = {
    "bert-embedding": {
        **_COMMON,
        "model_type": "bert",
        "architectures": ["BertModel"],
        "type_vocab_size": 2,
        "pad_token_id": 0,
        "hidden_act": "gelu_new",
    },
    "roberta-classifier": {
        **_COMMON,
        **_LABELS,
        "model_type": "roberta",
        "architectures": ["RobertaForSequenceClassification"],
        "type_vocab_size": 1,
        "pad_token_id": 1,
        "hidden_act": "gelu",
    },
    "xlm-roberta-several": {
        **_COMMON,
        **_LABELS,
        "model_type": "xlm-roberta",
        "architectures": ["XLMRobertaForSequenceClassification"],
        "problem_type": "multi_label_classification",
        "type_vocab_size": 1,
        "pad_token_id": 1,
        "hidden_act": "relu",
    },
    "distilbert-classifier": {
        **_DISTIL,
        **_LABELS,
        "model_type": "distilbert",
        "architectures": ["DistilBertForSequenceClassification"],
    },
}


def write_tiny_encoder(directory: Path, name: str) -> Path:
    """The folder of the encoder `name` of CONFIGS; the words are those of the tiny BERT."""
    write_tiny_bert(directory)
    config = CONFIGS[name]
    (directory / "config.json").write_text(json.dumps(config))
    chance = np.random.default_rng(len(name))
    pieces: dict[str, bytes] = {}
    shapes = dict(_distilbert() if config["model_type"] == "distilbert" else _bert(config))
    for tensor, shape in shapes.items():
        norm = tensor.lower().endswith(("layernorm.weight", "layer_norm.weight"))
        values = chance.normal(1.0 if norm else 0.0, 0.3, shape).astype("<f4")
        pieces[tensor] = values.tobytes()
    entries = {tensor: ("F32", shape, len(pieces[tensor])) for tensor, shape in shapes.items()}
    (directory / "model.safetensors").write_bytes(safetensors_bytes(entries, b"".join(pieces.values())))
    return directory


def _linear(name: str, out: int, width: int) -> Shapes:
    yield f"{name}.weight", [out, width]
    yield f"{name}.bias", [out]


def _norm(name: str) -> Shapes:
    yield f"{name}.weight", [_WIDTH]
    yield f"{name}.bias", [_WIDTH]


def _bert(config: dict[str, Any]) -> Shapes:
    begin = "" if config["model_type"] == "bert" else "roberta."
    yield f"{begin}embeddings.word_embeddings.weight", [len(VOCABULARY), _WIDTH]
    yield f"{begin}embeddings.position_embeddings.weight", [_POSITIONS, _WIDTH]
    yield f"{begin}embeddings.token_type_embeddings.weight", [config["type_vocab_size"], _WIDTH]
    yield from _norm(f"{begin}embeddings.LayerNorm")
    for layer in range(_LAYERS):
        inside = f"{begin}encoder.layer.{layer}"
        for part in ("query", "key", "value"):
            yield from _linear(f"{inside}.attention.self.{part}", _WIDTH, _WIDTH)
        yield from _linear(f"{inside}.attention.output.dense", _WIDTH, _WIDTH)
        yield from _norm(f"{inside}.attention.output.LayerNorm")
        yield from _linear(f"{inside}.intermediate.dense", _INNER, _WIDTH)
        yield from _linear(f"{inside}.output.dense", _WIDTH, _INNER)
        yield from _norm(f"{inside}.output.LayerNorm")
    if begin:
        yield from _linear("classifier.dense", _WIDTH, _WIDTH)
        yield from _linear("classifier.out_proj", 3, _WIDTH)


def _distilbert() -> Shapes:
    begin = "distilbert."
    yield f"{begin}embeddings.word_embeddings.weight", [len(VOCABULARY), _WIDTH]
    yield f"{begin}embeddings.position_embeddings.weight", [_POSITIONS, _WIDTH]
    yield from _norm(f"{begin}embeddings.LayerNorm")
    for layer in range(_LAYERS):
        inside = f"{begin}transformer.layer.{layer}"
        for part in ("q_lin", "k_lin", "v_lin", "out_lin"):
            yield from _linear(f"{inside}.attention.{part}", _WIDTH, _WIDTH)
        yield from _norm(f"{inside}.sa_layer_norm")
        yield from _linear(f"{inside}.ffn.lin1", _INNER, _WIDTH)
        yield from _linear(f"{inside}.ffn.lin2", _WIDTH, _INNER)
        yield from _norm(f"{inside}.output_layer_norm")
    yield from _linear("pre_classifier", _WIDTH, _WIDTH)
    yield from _linear("classifier", 3, _WIDTH)
