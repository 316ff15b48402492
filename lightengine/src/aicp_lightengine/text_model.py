"""A BERT-like model in a folder: tokens, the network, and what its rows mean."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers  # pyright: ignore[reportMissingImports]  # the engine's environment brings it

from aicp_lightengine import encoder
from aicp_lightengine.errors import ModelError, Refused
from aicp_lightengine.families import Shape, shape_of
from aicp_lightengine.session import CPU, Device, Session
from aicp_lightengine.tensors import read_tensors

EMBEDDING, RERANK, CLASSIFICATION = "embedding", "rerank", "classification"
_CHARACTERS_A_TOKEN = 32
"""Tokens of real text are shorter on average, so what is cut off by this would not have reached the model."""
_LAST_BIASES = frozenset({"classifier.bias", "classifier.out_proj.bias"})
"""One number for each label: the weights know how many there are, the configuration need not."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """One text, or a pair, as the network takes it."""

    ids: list[int]
    segments: list[int]


class TextModel:
    """Loads the folder. Raises ModelError for a model that it cannot compute exactly."""

    def __init__(self, folder: Path, device: Device, *, int8: bool = False, longest: int | None = None) -> None:
        if int8 and device.kind != CPU:
            raise ModelError("Matrices in int8 are computed on processors only.")
        config = _read_json(folder / "config.json")
        self.shape: Shape = shape_of(config)
        self._tokenizer = _tokenizer(folder)
        tensors = read_tensors(folder)
        pooling, self.kind = _pooling(folder, self.shape, tensors)
        self._session = Session(encoder.build(self.shape, tensors, pooling, int8=int8), device)
        limit = min(self.shape.longest, _sentence_limit(folder) or self.shape.longest)
        self.longest = min(longest or limit, limit)
        self._raw_scores = _raw_scores(config)

    @property
    def width(self) -> int:
        """Values of an embedding."""
        return self.shape.width

    @property
    def most_characters(self) -> int:
        """Characters of a text that are looked at, so that the time for its tokens is bounded as the model's is."""
        return self.longest * _CHARACTERS_A_TOKEN

    def tokens(self, text: str | list[int], second: str | None = None, limit: int | None = None) -> Tokens:
        """A text, its ready tokens, or a pair. `limit` cuts what is longer; without it a longer one is refused.

        Takes time with the length: not for the event loop's thread.
        """
        if isinstance(text, list):
            return self._checked(text, [0] * len(text), limit)
        cut = limit is not None
        found = self._tokenizer.encode(self._bounded(text, cut), second and self._bounded(second, cut))
        return self._checked(found.ids, found.type_ids, limit)

    def _bounded(self, text: str, cut: bool) -> str:
        most = self.most_characters
        if len(text) > most and not cut:
            raise Refused(
                400,
                f"The text has {len(text):,} characters; with a context length of {self.longest} this model takes "
                f"{most:,} at most. Shorten it, or send truncate_prompt_tokens.",
                "input",
            )
        return text[:most]

    def _checked(self, ids: list[int], segments: list[int], limit: int | None) -> Tokens:
        if limit is not None and len(ids) > limit:
            # the last token closes the text
            ids, segments = [*ids[: limit - 1], ids[-1]], [*segments[: limit - 1], segments[-1]]
        if not ids or len(ids) > self.longest:
            raise Refused(
                400,
                f"The text has {len(ids)} tokens; the context length of this model is {self.longest}. "
                "Shorten it, or send truncate_prompt_tokens.",
                "input",
            )
        if min(ids) < 0 or max(ids) >= self._tokenizer.get_vocab_size(with_added_tokens=True):
            raise Refused(400, "A token is not in the model's vocabulary.", "input")
        return Tokens(ids, segments)

    def all_tokens(self, text: str) -> list[int]:
        """The tokens of a text that may be longer than the model takes. Raises Refused beyond `most_characters`."""
        return self._tokenizer.encode(self._bounded(text, cut=False)).ids

    def text(self, ids: list[int]) -> str:
        """The text of tokens."""
        return self._tokenizer.decode(ids, skip_special_tokens=False)

    def compute(self, batch: list[Tokens]) -> np.ndarray:
        """One row for each: an embedding of length 1, a score from 0 to 1, or each label's probability."""
        rows = self._session.run(self._inputs(batch))
        if self.kind == EMBEDDING:
            return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        if self.kind == CLASSIFICATION and not self.shape.several:
            raised = np.exp(rows - rows.max(axis=1, keepdims=True))
            return raised / raised.sum(axis=1, keepdims=True)
        return rows if self._raw_scores else 1 / (1 + np.exp(-rows))

    def _inputs(self, batch: list[Tokens]) -> dict[str, np.ndarray]:
        longest = max(len(tokens.ids) for tokens in batch)
        ids = np.full((len(batch), longest), self.shape.padding, np.int64)
        mask = np.zeros((len(batch), longest), np.int32)
        segments = np.zeros((len(batch), longest), np.int64)
        for row, tokens in enumerate(batch):
            count = len(tokens.ids)
            ids[row, :count], segments[row, :count], mask[row, :count] = tokens.ids, tokens.segments, 1
        positions = np.broadcast_to(np.arange(longest, dtype=np.int64), ids.shape)
        if self.shape.family.offset:
            # RoBERTa counts real tokens from the number after the padding's, and padding has the padding's own.
            positions = np.where(mask > 0, positions + self.shape.padding + 1, self.shape.padding)
        return {
            "input_ids": ids,
            "attention_mask": mask,
            "token_type_ids": segments,
            "position_ids": np.ascontiguousarray(positions),
        }


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path.name} cannot be read: {error}.") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path.name} holds no object.")
    return value


def _tokenizer(folder: Path) -> Any:
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise ModelError("tokenizer.json is missing. Export the tokenizer in its fast form, then import again.")
    tokenizer = tokenizers.Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _pooling(folder: Path, shape: Shape, tensors: Mapping[str, np.ndarray]) -> tuple[str, str]:
    """What the graph gives out, and what kind of model that is."""
    if shape.has_head:
        outputs = [array.size for name, array in tensors.items() if name in _LAST_BIASES]
        return encoder.HEAD, RERANK if outputs == [1] else CLASSIFICATION
    modules = folder / "modules.json"
    if not modules.is_file():
        return encoder.MEAN, EMBEDDING
    for module in json.loads(modules.read_text("utf-8")):
        kind = str(module.get("type", "")).rsplit(".", 1)[-1]
        if kind == "Pooling":
            return _pooling_mode(_read_json(folder / str(module["path"]) / "config.json")), EMBEDDING
        if kind not in ("Transformer", "Normalize"):
            raise ModelError(f"The model puts a part of the kind {kind} behind the network, which is not known here.")
    return encoder.MEAN, EMBEDDING


def _pooling_mode(config: dict[str, Any]) -> str:
    modes = {"cls": encoder.FIRST, "mean": encoder.MEAN, "max": encoder.LARGEST}
    told = config.get("pooling_mode")
    asked = [told] if isinstance(told, str) else [name for name in modes if config.get(f"pooling_mode_{name}_tokens")]
    if config.get("pooling_mode_cls_token"):
        asked.append("cls")
    if len(asked) != 1 or asked[0] not in modes:
        raise ModelError(f"The pooling {' and '.join(map(str, asked)) or 'of the model'} is not known here.")
    return modes[asked[0]]


def _sentence_limit(folder: Path) -> int | None:
    path = folder / "sentence_bert_config.json"
    limit = _read_json(path).get("max_seq_length") if path.is_file() else None
    return limit if isinstance(limit, int) and limit > 0 else None


def _raw_scores(config: dict[str, Any]) -> bool:
    """Whether a cross-encoder's scores are taken as they are; most are pressed between 0 and 1."""
    told = config.get("sentence_transformers")
    name = told.get("activation_fn") if isinstance(told, dict) else config.get("sbert_ce_default_activation_function")
    return str(name).endswith("Identity")
