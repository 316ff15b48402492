"""The encoders that are known: how their configurations and tensors are called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aicp_lightengine.errors import ModelError


@dataclass(frozen=True, slots=True)
class Layer:
    """Names of the tensors of one layer, below the layer's own prefix."""

    query: str
    key: str
    value: str
    attention_out: str
    attention_norm: str
    inner: str
    outer: str
    norm: str


@dataclass(frozen=True, slots=True)
class Family:
    """One way of naming the same network. `begins` are prefixes that a checkpoint may put before every name.

    `offset` says that positions begin after the padding token's number, as RoBERTa counts them.
    """

    begins: tuple[str, ...]
    layers: str
    layer: Layer
    keys: Mapping[str, str]
    segments: bool = True
    offset: bool = False
    head: str = "bert"


_BERT_LAYER = Layer(
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "attention.output.LayerNorm",
    "intermediate.dense",
    "output.dense",
    "output.LayerNorm",
)
_DISTIL_LAYER = Layer(
    "attention.q_lin",
    "attention.k_lin",
    "attention.v_lin",
    "attention.out_lin",
    "sa_layer_norm",
    "ffn.lin1",
    "ffn.lin2",
    "output_layer_norm",
)
_BERT_KEYS = {
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "width": "hidden_size",
    "activation": "hidden_act",
}
_DISTIL_KEYS = {"layers": "n_layers", "heads": "n_heads", "width": "dim", "activation": "activation"}
_BERT = Family(("bert.", ""), "encoder.layer", _BERT_LAYER, _BERT_KEYS)
_ROBERTA = Family(("roberta.", ""), "encoder.layer", _BERT_LAYER, _BERT_KEYS, offset=True, head="roberta")
_DISTIL = Family(
    ("distilbert.", ""), "transformer.layer", _DISTIL_LAYER, _DISTIL_KEYS, segments=False, head="distilbert"
)
FAMILIES = {
    "bert": _BERT,
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "camembert": _ROBERTA,
    "distilbert": _DISTIL,
}


@dataclass(frozen=True, slots=True)
class Shape:
    """What the configuration says of the network."""

    family: Family
    layers: int
    heads: int
    width: int
    activation: str
    epsilon: float
    positions: int
    padding: int
    labels: tuple[str, ...]
    several: bool
    """Whether several labels may hold at once."""
    has_head: bool

    @property
    def longest(self) -> int:
        """Tokens of the longest text."""
        return self.positions - self.padding - 1 if self.family.offset else self.positions


def shape_of(config: Mapping[str, Any]) -> Shape:
    """The shape that config.json describes. Raises ModelError for an encoder that is not known."""
    kind = str(config.get("model_type", ""))
    family = FAMILIES.get(kind)
    if family is None:
        raise ModelError(f"The model type {kind!r} is not known here; known are {', '.join(sorted(FAMILIES))}.")
    if config.get("position_embedding_type", "absolute") != "absolute":
        raise ModelError("Only absolute positions are known here, and this model has relative ones.")
    if config.get("is_decoder"):
        raise ModelError("The model is a decoder; this server computes encoders.")
    keys = family.keys
    try:
        return Shape(
            family=family,
            layers=int(config[keys["layers"]]),
            heads=int(config[keys["heads"]]),
            width=int(config[keys["width"]]),
            activation=str(config.get(keys["activation"], "gelu")),
            epsilon=float(config.get("layer_norm_eps", 1e-12)),
            positions=int(config["max_position_embeddings"]),
            padding=int(config.get("pad_token_id") or 0),
            labels=_labels(config),
            several=config.get("problem_type") == "multi_label_classification",
            has_head="ForSequenceClassification" in str((config.get("architectures") or [""])[0]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"config.json lacks or garbles {error}.") from error


def _labels(config: Mapping[str, Any]) -> tuple[str, ...]:
    named = config.get("id2label")
    if not isinstance(named, dict):
        return ()
    return tuple(str(named[key]) for key in sorted(named, key=int))
