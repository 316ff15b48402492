"""Which files of a source become part of a version: safe weights, configuration, tokenizer, texts. Never code."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from aicp.artifacts.names import check_paths, refused
from aicp.core.errors import InvalidError
from aicp.core.model import ModelFormat

_KEPT = frozenset(
    {
        ".safetensors",
        ".gguf",
        ".onnx",
        ".json",
        ".jsonl",
        ".txt",
        ".md",
        ".jinja",
        ".jinja2",
        ".model",
        ".vocab",
        ".tiktoken",
    }
    | {".spm", ".bpe", ".yaml", ".yml", ".rst"}
)
_KEPT_NAMES = frozenset({"license", "licence", "notice", "readme", "copying", "use_policy", "merges", "vocab"})
_HARMLESS = frozenset(
    {".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".pdf", ".csv", ".html", ".css", ".sha256", ".log", ".mp4"}
)
_PICKLES = frozenset({".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz", ".mar", ".nemo"})
_CODE = frozenset({".py", ".pyc", ".so", ".sh", ".bat", ".exe", ".dll", ".dylib", ".ipynb", ".js", ".whl", ".jar"})
_OTHER_COPIES = frozenset({"original", "metal", "onnx", "openvino", "coreml", "flax", ".git", ".cache"})
"""Folders in which hubs keep the same weights again for other programs."""
_SPLIT = re.compile(r"-\d{5}-of-\d{5}$")


@dataclass(frozen=True, slots=True)
class Admission:
    """What enters (`kept`, in the given order) and what was left out and why (`notes`)."""

    kept: list[str]
    format: ModelFormat
    notes: list[str] = field(default_factory=list[str])


def admit(paths: Sequence[str], *, strict: bool) -> Admission:
    """Chooses among a source's files.

    `strict` (a folder or an upload) refuses code, pickles and unknown files with the list; otherwise (hubs, stores,
    archives of others) they are left out and noted. Raises InvalidError when no weights remain.
    """
    check_paths(paths)
    kept: list[str] = []
    unsafe: list[dict[str, str]] = []
    notes: list[str] = []
    for path in paths:
        reason = unsafe_reason(path)
        if reason is not None:
            unsafe.append({"path": path, "reason": reason})
        elif _is_harmless(path):
            notes.append(f"left out {path}: not part of a model")
        else:
            kept.append(path)
    if unsafe and strict:
        error = refused(unsafe)
        error.hint = "Convert weights to safetensors and remove code, or import with skip_unsafe to leave them out."
        raise error
    notes += [f"left out {item['path']}: {item['reason']}" for item in unsafe]
    return _choose_weights(kept, notes)


def unsafe_reason(path: str) -> str | None:
    """Why a file is off the allow-list; None for one that is on it or merely of no use."""
    name = PurePosixPath(path.lower())
    suffix = name.suffix
    if suffix in _PICKLES:
        return "a pickle or archive that can run code when loaded"
    if suffix in _CODE:
        return "code"
    if _is_harmless(path) or suffix in _KEPT or (name.stem if suffix else name.name) in _KEPT_NAMES:
        return None
    return "not on the list of files that make up a model"


def _is_harmless(path: str) -> bool:
    name = PurePosixPath(path.lower())
    if any(part in _OTHER_COPIES for part in name.parts[:-1]) or name.name.startswith("."):
        return name.suffix not in _CODE | _PICKLES
    return name.suffix in _HARMLESS


def _choose_weights(kept: list[str], notes: list[str]) -> Admission:
    safetensors = [path for path in kept if path.lower().endswith(".safetensors")]
    gguf = [path for path in kept if path.lower().endswith(".gguf")]
    onnx = [path for path in kept if path.lower().endswith(".onnx")]
    if safetensors:
        drop = {*gguf, *onnx} | _consolidated(safetensors)
        notes += [f"left out {path}: the same weights in another form" for path in sorted(drop)]
        return Admission([path for path in kept if path not in drop], ModelFormat.SAFETENSORS, notes)
    models = {_SPLIT.sub("", PurePosixPath(path).stem) for path in gguf if not _is_projector(path)}
    if not models and onnx:
        return Admission(kept, ModelFormat.ONNX, notes)
    if not models:
        raise InvalidError(
            "The source holds no weights in a safe format (safetensors, GGUF or ONNX).",
            hint="Convert the weights to safetensors; pickled ones (.bin, .pt) can run code and never enter.",
            code="no_weights",
        )
    if len(models) > 1:
        raise InvalidError(
            f"The source holds {len(models)} GGUF models: {', '.join(sorted(models)[:12])}.",
            hint="Choose one: `include` takes patterns such as *Q4_K_M*; in a folder, keep one.",
            code="several_models",
            details={"models": sorted(models)},
        )
    notes += [f"left out {path}: the same weights in another form" for path in sorted(onnx)]
    return Admission([path for path in kept if path not in onnx], ModelFormat.GGUF, notes)


def _consolidated(paths: list[str]) -> set[str]:
    """Mistral's hubs carry the weights twice: `consolidated*.safetensors` beside `model*.safetensors`."""
    if not any(PurePosixPath(path).name.startswith("model") for path in paths):
        return set()
    return {path for path in paths if PurePosixPath(path).name.startswith("consolidated")}


def _is_projector(path: str) -> bool:
    return PurePosixPath(path).name.lower().startswith("mmproj")


def without_remote_code(content: bytes) -> bytes | None:
    """A JSON configuration without any `auto_map` (which names code to run); None when it has none.

    Raises InvalidError for what is no JSON object.
    """
    try:
        config = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InvalidError(f"It is not valid JSON ({error}).") from error
    return json.dumps(config, indent=2).encode() if _strip(config) else None


def _strip(node: Any) -> bool:
    if isinstance(node, list):
        return sum(_strip(item) for item in node) > 0  # every item, so no short cut
    if not isinstance(node, dict):
        return False
    found = node.pop("auto_map", None) is not None
    return sum(_strip(item) for item in node.values()) > 0 or found
