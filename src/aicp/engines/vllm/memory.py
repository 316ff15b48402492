"""How much memory a vLLM replica needs. The constants are measured; docs/reference/engines.md shows the runs."""

from __future__ import annotations

from aicp.core.model import ModelType, ModelVersion
from aicp.core.quantity import MIB
from aicp.core.service import MemoryPart
from aicp.engines.base import Sizing, kv_bytes_per_token

KV_BLOCK_TOKENS = 128
_KV_VALUE_BYTES = 2
_MINIMUM_KV_BYTES = 16 * MIB
_PROCESSES_BYTES = {"cpu": 965 * MIB, "cuda": 2600 * MIB}
_PACKED_SHARE = 0.38
_VOCABULARY_BYTES_PER_TOKEN = 700


def kv_cache_bytes(version: ModelVersion, model_type: ModelType, sizing: Sizing) -> int:
    """KV cache for all users at full context, in whole blocks, and one spare block that vLLM keeps for itself."""
    per_token = 0 if model_type is not ModelType.CHAT else kv_bytes_per_token(version.architecture, _KV_VALUE_BYTES)
    blocks = -(-sizing.context_length // KV_BLOCK_TOKENS) * sizing.users + 1
    return max(_MINIMUM_KV_BYTES, blocks * KV_BLOCK_TOKENS * per_token)


def memory_parts(version: ModelVersion, model_type: ModelType, sizing: Sizing) -> list[MemoryPart]:
    """Parts of the peak of all processes of one replica (proportional set size)."""
    weights = _loaded_weights(version)
    kind = "cpu" if sizing.vendor == "cpu" else "cuda"
    parts = [
        MemoryPart(name="weights", bytes=weights, explanation="the model's weights in the type they are computed in"),
        MemoryPart(
            name="kv_cache",
            bytes=kv_cache_bytes(version, model_type, sizing),
            explanation=f"{sizing.users} users with {sizing.context_length} tokens each",
        ),
        MemoryPart(
            name="engine_overhead",
            bytes=_PROCESSES_BYTES[kind] + _VOCABULARY_BYTES_PER_TOKEN * (version.architecture.vocab_size or 0),
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
