"""How much memory a llama.cpp replica needs. The constants are measured; docs/reference/engines.md shows the runs."""

from __future__ import annotations

from aicp.core.model import Architecture, ModelType, ModelVersion
from aicp.core.quantity import MIB
from aicp.core.service import MemoryPart
from aicp.engines.base import Sizing, explain_cache, kv_bytes_per_token, layer_bytes_per_token, window_layers

STEP_TOKENS = 512
_KV_VALUE_BYTES = 2
_PROCESS_BYTES = 20 * MIB
_STEP_VALUES_PER_WIDTH = 13
_TOKENIZER_BYTES_PER_TOKEN = 180
_CONTEXT_STEP = 256


def total_context(sizing: Sizing) -> int:
    """Tokens of the one KV buffer that all users share in equal parts, each part rounded up as llama.cpp does."""
    return _rounded(sizing.context_length) * sizing.users


def kv_cache_bytes(architecture: Architecture, sizing: Sizing, step: int) -> int:
    """The cache of all users. Layers with a sliding window keep the window and one step, as the server does unless it
    is started with `--swa-full` (llama.cpp, src/llama-kv-cache-iswa.cpp)."""
    # Keys and values are stored as 16-bit floats whatever the weights are.
    whole = kv_bytes_per_token(architecture, _KV_VALUE_BYTES) * total_context(sizing)
    window = min(_rounded(sizing.context_length), _rounded((architecture.sliding_window or 0) + step))
    windowed = window_layers(architecture) * layer_bytes_per_token(architecture, _KV_VALUE_BYTES)
    return whole + windowed * window * sizing.users


def _rounded(tokens: int) -> int:
    return -(-tokens // _CONTEXT_STEP) * _CONTEXT_STEP


def memory_parts(version: ModelVersion, model_type: ModelType, sizing: Sizing) -> list[MemoryPart]:
    """Parts of the peak of the process (proportional set size; the weights are mapped from the file)."""
    architecture = version.architecture
    step = STEP_TOKENS if model_type is ModelType.CHAT else max(STEP_TOKENS, sizing.context_length)
    return [
        MemoryPart(name="weights", bytes=version.weight_bytes, explanation="the GGUF file, mapped into memory"),
        MemoryPart(
            name="kv_cache",
            bytes=kv_cache_bytes(architecture, sizing, step),
            explanation=explain_cache(architecture, sizing),
        ),
        MemoryPart(
            name="compute_buffers",
            bytes=4 * _STEP_VALUES_PER_WIDTH * step * (architecture.hidden_size or 0),
            explanation=f"activations of one step of {step} tokens, in 32 bits",
        ),
        MemoryPart(
            name="engine_overhead",
            bytes=_PROCESS_BYTES + _TOKENIZER_BYTES_PER_TOKEN * (architecture.vocab_size or 0),
            explanation="the server process with the model's vocabulary",
        ),
    ]
