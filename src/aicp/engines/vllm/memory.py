"""How much memory a vLLM replica needs. The constants are measured; docs/reference/engines.md shows the runs."""

from __future__ import annotations

from aicp.core.model import ModelType, ModelVersion
from aicp.core.quantity import MIB
from aicp.core.service import MemoryPart, Mode
from aicp.engines.base import Sizing, explain_cache, layer_bytes_per_token, window_layers

KV_BLOCK_TOKENS = 128
_KV_VALUE_BYTES = 2
_MINIMUM_KV_BYTES = 16 * MIB
_PROCESSES_BYTES = {"cpu": 965 * MIB, "cuda": 2600 * MIB}
_WORKER_BYTES = 1100 * MIB
"""Over nodes a worker computes in a process of its own."""
_PACKED_SHARE = 0.38
_STEPS_IN_FLIGHT = 2
"""On devices the next step is scheduled while one is computed; on processors vLLM turns that off."""
_VOCABULARY_BYTES_PER_TOKEN = 700
_STEP_TOKENS = {
    ("cpu", Mode.BALANCED): (256, "a step of 256 tokens keeps the longest gap between streamed tokens near a second"),
    ("cpu", Mode.LONG_TEXT): (1024, "long prompts are read in larger steps: fewer passes over the weights"),
    ("cuda", Mode.BALANCED): (2048, "vLLM's own default: throughput and even streaming in balance"),
    ("cuda", Mode.LONG_TEXT): (8192, "long prompts are read in larger steps: fewer passes over the weights"),
}


def step_tokens(model_type: ModelType, mode: Mode, sizing: Sizing) -> tuple[int, str]:
    """Tokens computed in one step, and why so many."""
    kind = "cpu" if sizing.vendor == "cpu" else "cuda"
    step, why = _STEP_TOKENS[kind, Mode.LONG_TEXT if mode is Mode.LONG_TEXT else Mode.BALANCED]
    if model_type is not ModelType.CHAT:
        step, why = max(step, sizing.context_length), "a text is embedded in one piece, so a step holds the longest one"
    if step < sizing.users:
        step, why = sizing.users, "every request in flight has a token in each step"
    return step, why


def kv_cache_bytes(version: ModelVersion, model_type: ModelType, sizing: Sizing, step: int) -> int:
    """KV cache for all users at full context, in whole blocks, and one spare block that vLLM keeps for itself.

    Counted as vLLM's hybrid cache manager does, which is on unless a KV connector that cannot work with it is
    configured (v1/core/kv_cache_utils.py, v1/kv_cache_interface.py of 0.32). Layers are put into groups of one kind and
    equal size, padded where they do not divide; a block of any group costs the same. A group with a sliding window
    keeps the window, the tokens of the steps in flight, and one block because a window may begin inside one.
    """
    architecture = version.architecture
    sliding = window_layers(architecture)
    whole = (architecture.layers or 0) if architecture.kv_layers is None else architecture.kv_layers
    if model_type is not ModelType.CHAT or not whole + sliding:
        return _MINIMUM_KV_BYTES
    in_flight = step * (1 if sizing.vendor == "cpu" else _STEPS_IN_FLIGHT)
    kept = min((architecture.sliding_window or 0) - 1 + in_flight, sizing.context_length)
    size, whole_groups, sliding_groups = _groups(whole, sliding)
    each = whole_groups * _blocks(sizing.context_length) + sliding_groups * (_blocks(kept) + 1)
    block = KV_BLOCK_TOKENS * size * layer_bytes_per_token(architecture, _KV_VALUE_BYTES)
    return max(_MINIMUM_KV_BYTES, (sizing.users * each + 1) * block)


def _groups(whole: int, sliding: int) -> tuple[int, int, int]:
    """Layers of one group, and the number of groups of either kind."""
    if not whole or not sliding:
        return whole or sliding, bool(whole), bool(sliding)
    least, most = sorted((whole, sliding))
    size = most if most < 1.5 * least else least
    return size, -(-whole // size), -(-sliding // size)


def _blocks(tokens: int) -> int:
    return -(-tokens // KV_BLOCK_TOKENS)


def memory_parts(version: ModelVersion, model_type: ModelType, mode: Mode, sizing: Sizing) -> list[MemoryPart]:
    """Parts of the peak of all processes of one replica (proportional set size)."""
    weights = -(-_loaded_weights(version) // sizing.nodes)
    kind = "cpu" if sizing.vendor == "cpu" else "cuda"
    step = step_tokens(model_type, mode, sizing)[0]
    whose = "the model's weights in the type they are computed in"
    if sizing.nodes > 1:
        whose = "a node's part of the model's weights in the type they are computed in"
    processes = _PROCESSES_BYTES[kind] + (_WORKER_BYTES if kind == "cpu" and sizing.nodes > 1 else 0)
    parts = [
        MemoryPart(name="weights", bytes=weights, explanation=whose),
        MemoryPart(
            name="kv_cache",
            bytes=-(-kv_cache_bytes(version, model_type, sizing, step) // sizing.nodes),
            explanation=explain_cache(version.architecture, sizing),
        ),
        MemoryPart(
            name="engine_overhead",
            bytes=processes + _VOCABULARY_BYTES_PER_TOKEN * (version.architecture.vocab_size or 0),
            explanation="the API server and the engine process with their libraries and the vocabulary",
        ),
    ]
    if kind == "cpu":
        parts.append(
            MemoryPart(
                name="packed_weights",
                bytes=round(weights * _PACKED_SHARE),
                explanation="copies of weights in the order the processor's matrix kernels read them",
            )
        )
    return parts


def _loaded_weights(version: ModelVersion) -> int:
    """vLLM computes 32-bit checkpoints in 16 bits unless told otherwise."""
    full = (version.dtype or "").lower() in ("float32", "f32", "fp32")
    return version.weight_bytes // 2 if full else version.weight_bytes
