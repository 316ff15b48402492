"""How much memory a model's key-value cache takes, from the facts of its architecture."""

from __future__ import annotations

from dataclasses import dataclass

from aicp.core.model import Architecture
from aicp.engines.base import kv_bytes_per_token, layer_bytes_per_token, window_layers

BYTES_16_BIT = 2.0


@dataclass(frozen=True, slots=True)
class KvShape:
    """Bytes of cache for one token: in the layers that keep the whole context, and in those that keep a window."""

    full_bytes: int
    window_bytes: int
    window_tokens: int
    formula: str

    def cache_bytes(self, context_length: int, users: int) -> int:
        """Cache for `users` simultaneous requests of `context_length` tokens each."""
        window = min(context_length, self.window_tokens)
        return users * (self.full_bytes * context_length + self.window_bytes * window)


def kv_shape(architecture: Architecture, bytes_per_value: float = BYTES_16_BIT) -> KvShape | None:
    """The cache of one token; None when the model does not say enough.

    In hybrid models only `kv_layers` keep the whole context. The other layers keep a sliding window where the model
    names one, and else a fixed state (recurrent or linear attention), which belongs to the engine's overhead.
    """
    full = kv_bytes_per_token(architecture, bytes_per_value)
    layers = architecture.layers or 0
    full_layers = layers if architecture.kv_layers is None else architecture.kv_layers
    window_tokens = architecture.sliding_window or 0
    window = window_layers(architecture) * layer_bytes_per_token(architecture, bytes_per_value)
    if not full and not window:
        return None
    return KvShape(full, window, window_tokens, _formula(architecture, full_layers, bytes_per_value))


def _formula(architecture: Architecture, full_layers: int, bytes_per_value: float) -> str:
    if architecture.kv_lora_rank:
        width = architecture.kv_lora_rank + (architecture.rope_head_dim or 0)
        return f"{full_layers} layers x {width} x {bytes_per_value:g} bytes, compressed"
    heads = architecture.kv_heads or architecture.attention_heads or 1
    width = round(kv_bytes_per_token(architecture.model_copy(update={"kv_layers": 1}), 1) / 2 / heads)
    return f"2 x {full_layers} layers x {heads} heads x {width} x {bytes_per_value:g} bytes"
