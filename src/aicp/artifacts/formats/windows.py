"""How many layers keep keys and values of the whole context, and how long the window of the others is.

Published configs leave out what the code of a family takes for granted; the tables are what transformers
(`configuration_*.py`) and llama.cpp (`src/models/*.cpp`) take.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aicp.core.errors import InvalidError

_WHOLE = ("full_attention", "attention", "global", "chunked_attention")
"""Chunked layers could drop old chunks; engines keep them whole."""
_PERIODS = {
    "cohere2": 4, "exaone4": 4, "gemma2": 2, "gemma3": 6, "gemma3_text": 6, "gemma3n_text": 5, "gpt_oss": 2, "olmo3": 4,
}  # fmt: skip
"""Every so-manieth layer of a family keeps the whole context."""
_OFF_BY_DEFAULT = ("qwen2", "qwen3", "smollm3")
"""Families whose window counts only when `use_sliding_window` says so."""

# Of a GGUF file: every so-manieth layer is whole, counted from the end (True: from the beginning) of each period. None:
# the file itself lists the layers. llama.cpp keeps the whole context in every layer of any other architecture.
_GGUF_PERIODS: dict[str, tuple[int | None, bool]] = {
    "afmoe": (4, False), "cohere2": (4, False), "cohere2moe": (4, True), "exaone-moe": (4, False),
    "exaone4": (4, False), "gemma-embedding": (6, False), "gemma2": (2, False), "gemma3": (6, False),
    "gemma3n": (5, False), "gemma4": (None, False), "gpt-oss": (2, False), "granite-swa": (None, False),
    "laguna": (4, True), "llama4": (4, False), "mellum": (4, False), "mimo2": (None, False),
    "modern-bert": (3, True), "olmo2": (4, False), "plamo3": (8, False), "smallthinker": (4, True),
    "step35": (None, False),
}  # fmt: skip
_MOST_LAYERS = 4096
_GGUF_WINDOWS = {"exaone-moe": 128, "exaone4": 4096, "gemma2": 4096, "llama4": 8192}
"""Where the file need not say it."""


def config_windows(text: Mapping[str, Any], layers: int | None) -> tuple[int | None, int | None]:
    """Of the language part of a config.json: layers that keep the whole context, and the window of the others."""
    window = _window(text)
    kinds = text.get("layer_types") or text.get("layers_block_type")
    if isinstance(kinds, list) and kinds:
        whole = sum(kind in _WHOLE or (window is None and kind == "sliding_attention") for kind in kinds)
        return whole, window if "sliding_attention" in kinds else None
    if layers is None:
        return None, window
    interval = _positive(text.get("full_attention_interval")) or _positive(text.get("attn_layer_period"))
    if interval and (_positive(text.get("linear_num_key_heads")) or window):
        return layers // interval, window
    if window is None:
        return layers, None
    period = _period(text)
    if period:
        return layers // period, window
    # Without a pattern a window holds for all layers, but for the first ones of some Qwen models.
    first = text.get("max_window_layers")
    return (min(first, layers) if isinstance(first, int) and first > 0 else 0), window


def gguf_windows(name: str, fields: Mapping[str, Any], layers: int | None) -> tuple[int | None, int | None]:
    """The same of a GGUF head, as llama.cpp reads it. Raises InvalidError for an absurd number of layers."""
    if layers is not None and layers > _MOST_LAYERS:
        raise InvalidError(f"The file speaks of {layers} layers; no real model has more than {_MOST_LAYERS}.")
    window = _positive(fields.get(f"{name}.attention.sliding_window"))
    heads = fields.get(f"{name}.attention.head_count_kv")
    keeps = [bool(item) for item in heads] if isinstance(heads, list) else [True] * (layers or 0)
    slides = _gguf_sliding(name, fields, len(keeps))
    window = window or _GGUF_WINDOWS.get(name)
    if layers is None or window is None or not any(slides):
        return (sum(keeps) if layers is not None or isinstance(heads, list) else None), None
    return sum(kept and not slid for kept, slid in zip(keeps, slides, strict=True)), window


def _gguf_sliding(name: str, fields: Mapping[str, Any], layers: int) -> list[bool]:
    period, whole_first = _GGUF_PERIODS.get(name, (0, False))
    if period == 0 or (name == "exaone4" and layers != 64):  # the small EXAONE 4 has no windows
        return [False] * layers
    pattern = fields.get(f"{name}.attention.sliding_window_pattern")
    if isinstance(pattern, list) and len(pattern) >= layers:
        return [bool(item) for item in pattern[:layers]]
    period = _positive(pattern) or period
    if not period:
        return [False] * layers
    return [number % period != (0 if whole_first else period - 1) for number in range(layers)]


def _window(text: Mapping[str, Any]) -> int | None:
    said = text.get("use_sliding_window")
    if said is False or (said is None and str(text.get("model_type", "")).startswith(_OFF_BY_DEFAULT)):
        return None
    return _positive(text.get("sliding_window")) or _positive(text.get("attention_window_size"))


def _period(text: Mapping[str, Any]) -> int | None:
    pattern = text.get("sliding_window_pattern") or text.get("_sliding_window_pattern")
    if isinstance(pattern, str):
        return len(pattern) or None
    return _positive(pattern) or _PERIODS.get(str(text.get("model_type", "")))


def _positive(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
