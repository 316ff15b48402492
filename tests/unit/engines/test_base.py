"""The KV formula on published shapes."""

from __future__ import annotations

import pytest

from aicp.core.model import Architecture
from aicp.engines.base import kv_bytes_per_token


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        # Llama 3 8B: 2 x 32 layers x 8 heads x 128 x 2 bytes = 128 KiB
        ({"layers": 32, "kv_heads": 8, "head_dim": 128}, 131_072),
        # without grouped heads, the width follows from the hidden size
        ({"layers": 12, "attention_heads": 12, "hidden_size": 768}, 36_864),
        # DeepSeek-V2: 60 layers x (512 + 64) x 2 bytes
        ({"layers": 60, "kv_lora_rank": 512, "rope_head_dim": 64, "attention_heads": 128}, 69_120),
        # a hybrid keeps a cache in some layers only
        ({"layers": 48, "kv_layers": 12, "kv_heads": 2, "head_dim": 256}, 24_576),
        ({}, 0),
        ({"layers": 4}, 0),
    ],
)
def test_bytes_of_one_token(shape: dict[str, int], expected: int) -> None:
    assert kv_bytes_per_token(Architecture(name="x", **shape), 2) == expected
