"""The KV cache of models with sliding windows, from the configs they are published with.

The configs are the fields of the published files that matter here; gpt-oss is the whole file. The pages and page sizes
are what the functions of vLLM 0.32 itself answer for these layers (v1/core/kv_cache_utils.py), with blocks of 128.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.engines import make_request, make_version

from aicp.artifacts.formats.config import architecture_of
from aicp.artifacts.formats.windows import config_windows, gguf_windows
from aicp.core.errors import InvalidError
from aicp.core.model import Architecture, ModelFile, ModelFormat, ModelType
from aicp.core.registry import Registry
from aicp.core.service import Mode
from aicp.engines.base import Engine, Sizing

ENGINES = Registry[Engine]("aicp.engines")
CONFIGS = Path(__file__).parents[2] / "fixtures" / "model_configs"

MISTRAL = {
    "model_type": "mistral", "num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32,
    "num_key_value_heads": 8, "sliding_window": 4096,
}  # fmt: skip
PHI3 = {
    "model_type": "phi3", "num_hidden_layers": 32, "hidden_size": 3072, "num_attention_heads": 32,
    "num_key_value_heads": 32, "sliding_window": 2047,
}  # fmt: skip
GEMMA2 = {
    "model_type": "gemma2", "num_hidden_layers": 26, "hidden_size": 2304, "num_attention_heads": 8,
    "num_key_value_heads": 4, "head_dim": 256, "sliding_window": 4096,
}  # fmt: skip
GEMMA3_4B = {
    "model_type": "gemma3",
    "text_config": {
        "model_type": "gemma3_text", "num_hidden_layers": 34, "hidden_size": 2560, "sliding_window": 1024,
    },
}  # fmt: skip
GEMMA3_12B = {
    "model_type": "gemma3",
    "text_config": {
        "model_type": "gemma3_text", "num_hidden_layers": 48, "hidden_size": 3840, "sliding_window": 1024,
        "num_attention_heads": 16, "num_key_value_heads": 8,
    },
}  # fmt: skip
GPT_OSS = json.loads((CONFIGS / "gpt-oss-20b.config.json").read_text())
QWEN3 = json.loads((CONFIGS / "Qwen3-0.6B.config.json").read_text())


def shape(config: dict[str, Any]) -> Architecture:
    return architecture_of(config, has_chat_template=True)


@pytest.mark.parametrize(
    ("config", "mode", "context", "pages", "page_bytes"),
    [
        pytest.param(MISTRAL, Mode.LONG_TEXT, 32768, 41, 16_777_216, id="mistral 7b v0.1"),
        pytest.param(PHI3, Mode.BALANCED, 4096, 19, 50_331_648, id="phi-3 mini"),
        pytest.param(GEMMA2, Mode.LONG_TEXT, 8192, 105, 6_815_744, id="gemma 2 2b"),
        pytest.param(GEMMA3_4B, Mode.LONG_TEXT, 32768, 358, 2_621_440, id="gemma 3 4b, one layer of padding"),
        pytest.param(GEMMA3_12B, Mode.LONG_TEXT, 32768, 341, 8_388_608, id="gemma 3 12b"),
        pytest.param(GPT_OSS, Mode.LONG_TEXT, 32768, 266, 3_145_728, id="gpt-oss 20b"),
        pytest.param(QWEN3, Mode.BALANCED, 4096, 32, 14_680_064, id="qwen 3 0.6b, no window"),
    ],
)
def test_vllm_gets_the_pages_it_counts_itself(
    config: dict[str, Any], mode: Mode, context: int, pages: int, page_bytes: int
) -> None:
    engine = ENGINES.get("vllm")
    version = make_version(architecture=shape(config), context_length=131_072)
    expected = (4 * pages + 1) * page_bytes
    chosen = engine.settings(make_request(version, mode=mode, context_length=context, users=4))
    assert {choice.name: choice.value for choice in chosen}["kv_cache_memory_bytes"] == expected
    parts = engine.estimate(version, ModelType.CHAT, mode, Sizing(context, 4, 2.0))
    assert next(part.bytes for part in parts if part.name == "kv_cache") == expected


def test_a_larger_step_of_the_user_keeps_more_of_a_window() -> None:
    version = make_version(architecture=shape(MISTRAL), context_length=131_072)
    request = make_request(version, mode=Mode.CUSTOM, context_length=32768, flags={"max_num_batched_tokens": 4096})
    value = {choice.name: choice.value for choice in ENGINES.get("vllm").settings(request)}["kv_cache_memory_bytes"]
    assert value == (4 * (64 + 1) + 1) * 16_777_216


def test_the_plan_says_which_layers_keep_a_window() -> None:
    version = make_version(architecture=shape(GEMMA3_4B))
    parts = ENGINES.get("vllm").estimate(version, ModelType.CHAT, Mode.BALANCED, Sizing(4096, 2, 2.0))
    text = next(part.explanation for part in parts if part.name == "kv_cache")
    assert text == "2 users with 4096 tokens each; 29 of 34 layers keep a window of 1024"


@pytest.mark.parametrize(
    ("text", "layers", "expected"),
    [
        pytest.param({"sliding_window": 4096}, 32, (0, 4096), id="a window holds for all layers"),
        pytest.param({"sliding_window": None}, 32, (32, None), id="mistral v0.3: none"),
        pytest.param({"use_sliding_window": False, "sliding_window": 131072}, 28, (28, None), id="turned off"),
        pytest.param({"model_type": "qwen2", "sliding_window": 4096}, 28, (28, None), id="off unless said in qwen2"),
        pytest.param(
            {"model_type": "qwen2", "use_sliding_window": True, "sliding_window": 4096, "max_window_layers": 21},
            28,
            (21, 4096),
            id="the first layers are whole",
        ),
        pytest.param({"model_type": "cohere2", "sliding_window": 4096}, 32, (8, 4096), id="by family"),
        pytest.param({"sliding_window": 4096, "sliding_window_pattern": "LLLG"}, 64, (16, 4096), id="pattern as text"),
        pytest.param(
            {"sliding_window": None, "layer_types": ["sliding_attention", "full_attention"]},
            2,
            (2, None),
            id="kinds without a window",
        ),
        pytest.param(
            {"layer_types": ["chunked_attention"] * 3 + ["full_attention"], "attention_chunk_size": 8192},
            4,
            (4, None),
            id="llama 4: vLLM keeps chunked layers whole",
        ),
    ],
)
def test_layers_of_a_config(text: dict[str, Any], layers: int, expected: tuple[int, int | None]) -> None:
    assert config_windows(text, layers) == expected


@pytest.mark.parametrize(
    ("name", "fields", "layers", "expected"),
    [
        ("gemma2", {"attention.sliding_window": 4096}, 26, (13, 4096)),
        ("gemma3", {"attention.sliding_window": 1024}, 34, (5, 1024)),
        ("gemma3", {}, 34, (34, None)),
        ("gpt-oss", {"attention.sliding_window": 128}, 24, (12, 128)),
        ("smallthinker", {"attention.sliding_window": 4096}, 32, (8, 4096)),
        ("gemma4", {"attention.sliding_window": 512, "attention.sliding_window_pattern": [1, 1, 1, 0]}, 4, (1, 512)),
        ("phi3", {"attention.sliding_window": 2047}, 32, (32, None)),
        ("llama", {"attention.sliding_window": 4096}, 32, (32, None)),
        ("exaone4", {"attention.sliding_window": 4096}, 30, (30, None)),
        ("qwen3next", {"attention.head_count_kv": [0, 0, 0, 2] * 12}, 48, (12, None)),
    ],
)  # fmt: skip
def test_layers_of_a_gguf_file_as_llama_cpp_reads_it(
    name: str, fields: dict[str, Any], layers: int, expected: tuple[int, int | None]
) -> None:
    assert gguf_windows(name, {f"{name}.{key}": value for key, value in fields.items()}, layers) == expected


@pytest.mark.parametrize(
    ("context", "window_tokens"),
    [(32768, 1536), (1024, 1024), (1537, 1536)],
)
def test_llama_cpp_keeps_the_window_and_one_step(context: int, window_tokens: int) -> None:
    """min(context, window + step) in units of 256: 1024 + 512 tokens for Gemma 3 4B."""
    architecture = Architecture(
        name="gemma3", layers=34, kv_layers=5, hidden_size=2560, kv_heads=4, head_dim=256, sliding_window=1024
    )
    files = [ModelFile(path="m.gguf", sha256="0" * 64, size_bytes=1)]
    version = make_version(format=ModelFormat.GGUF, files=files, architecture=architecture)
    parts = ENGINES.get("llamacpp").estimate(version, ModelType.CHAT, Mode.BALANCED, Sizing(context, 4, 2.0))
    token = 2 * 4 * 256 * 2
    whole = -(-context // 256) * 256
    expected = 4 * token * (5 * whole + 29 * window_tokens)
    assert next(part.bytes for part in parts if part.name == "kv_cache") == expected


def test_an_absurd_number_of_layers_is_refused_before_anything_is_made_of_it():
    with pytest.raises(InvalidError, match="4294967295 layers"):
        gguf_windows("gemma3", {}, 4294967295)
