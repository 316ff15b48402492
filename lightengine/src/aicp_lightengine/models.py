"""The models that a process serves: opened by what lies in their folders, each with a batcher of its own."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aicp_lightengine.batching import Batcher, Limits
from aicp_lightengine.ocr_files import find_ocr_files

if TYPE_CHECKING:
    from aicp_lightengine.session import Device

EMBEDDING, RERANK, CLASSIFICATION, OCR = "embedding", "rerank", "classification", "ocr"
_MOST_IMAGES = 128
"""Images that wait: at a second or two for each, minutes."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How models are loaded and computed. `int8` are the names of those whose matrices are kept in 8 bits.

    `context_length` is the longest text in tokens; None: the model's own.
    """

    device: Device
    int8: frozenset[str]
    context_length: int | None
    limits: Limits


@dataclass(frozen=True, slots=True)
class Served:
    """A loaded model under the name it answers to. `model` is a TextModel or an OcrModel."""

    name: str
    kind: str
    model: Any
    batcher: Batcher[Any, Any]


def open_all(folders: Mapping[str, Path], settings: Settings, executor: Executor) -> dict[str, Served]:
    """Every model by name. Raises ModelError for one that cannot be served."""
    return {name: _open(name, folder, settings, executor) for name, folder in folders.items()}


def _open(name: str, folder: Path, settings: Settings, executor: Executor) -> Served:
    files = find_ocr_files(folder)
    # Imported when needed: reading of images brings OpenCV with it, texts bring a tokenizer.
    if files is not None:
        model = import_module("aicp_lightengine.ocr_model").OcrModel(files, settings.device)
        # Images are opened in their batch, so that of all that wait only one is held as pixels.
        limits = Limits(items=1, tokens=1, waiting=_MOST_IMAGES)
        return Served(name, OCR, model, Batcher(model.compute, lambda _: 1, limits, executor))
    text = import_module("aicp_lightengine.text_model")
    model = text.TextModel(folder, settings.device, int8=name in settings.int8, longest=settings.context_length)
    limits = Limits(settings.limits.items, max(settings.limits.tokens, model.longest))
    return Served(name, model.kind, model, Batcher(model.compute, lambda tokens: len(tokens.ids), limits, executor))
