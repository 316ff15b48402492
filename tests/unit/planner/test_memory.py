"""Key-value cache by architecture, against figures that can be checked by hand."""

from __future__ import annotations

import pytest

from aicp.core.model import Architecture
from aicp.core.quantity import KIB
from aicp.planner.memory import kv_shape

QWEN3_06B = Architecture(name="Qwen3", layers=28, hidden_size=1024, attention_heads=16, kv_heads=8, head_dim=128)
LLAMA2_7B = Architecture(name="Llama", layers=32, hidden_size=4096, attention_heads=32)
DEEPSEEK_V3 = Architecture(name="DeepseekV3", layers=61, attention_heads=128, kv_lora_rank=512, rope_head_dim=64)
GEMMA3_4B = Architecture(
    name="Gemma3", layers=34, kv_layers=5, attention_heads=8, kv_heads=4, head_dim=256, sliding_window=1024
)
QWEN3_NEXT = Architecture(name="Qwen3Next", layers=48, kv_layers=12, attention_heads=16, kv_heads=2, head_dim=256)


@pytest.mark.parametrize(
    ("architecture", "token_bytes"),
    [
        pytest.param(QWEN3_06B, 112 * KIB, id="grouped queries"),
        pytest.param(LLAMA2_7B, 512 * KIB, id="every head its own keys, width from the hidden size"),
        pytest.param(DEEPSEEK_V3, 61 * 576 * 2, id="compressed latent and shared rotary key"),
        pytest.param(GEMMA3_4B, 5 * 4 * KIB, id="only some layers keep all"),
        pytest.param(QWEN3_NEXT, 12 * 2 * KIB, id="linear layers keep a fixed state"),
    ],
)
def test_bytes_of_one_more_token(architecture: Architecture, token_bytes: int):
    shape = kv_shape(architecture)
    assert shape is not None
    assert shape.full_bytes == token_bytes


def test_a_sliding_window_stops_growing():
    shape = kv_shape(GEMMA3_4B)
    assert shape is not None
    at_window = shape.cache_bytes(1024, 1)
    assert at_window == 1024 * 34 * 4 * KIB
    assert shape.cache_bytes(8192, 1) - at_window == (8192 - 1024) * 5 * 4 * KIB
    assert shape.cache_bytes(8192, 3) == 3 * shape.cache_bytes(8192, 1)


def test_without_a_window_other_layers_cost_nothing():
    shape = kv_shape(QWEN3_NEXT)
    assert shape is not None
    assert shape.window_bytes == 0


def test_an_architecture_that_says_nothing():
    assert kv_shape(Architecture(name="mystery")) is None
