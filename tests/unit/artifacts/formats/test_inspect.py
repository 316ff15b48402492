"""Facts about whole models, from configurations as they are published."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.model_files import CONFIG, gguf_bytes, safetensors_bytes

from aicp.artifacts.formats.config import architecture_of, context_length_of, parse_object, quantization_of, type_of
from aicp.artifacts.formats.inspect import Facts, FileSet, inspect_files
from aicp.core.errors import InvalidError
from aicp.core.model import ModelFormat

FIXTURES = Path(__file__).parents[3] / "fixtures" / "model_configs"


def facts_of(files: dict[str, bytes], *, hint: str = "", format: ModelFormat = ModelFormat.SAFETENSORS) -> Facts:
    sizes = {path: len(content) for path, content in files.items()}
    return inspect_files(FileSet(sizes, lambda path: io.BytesIO(files[path])), format, hint=hint)


def model(config: dict[str, Any] | None = None, tensors: Any = None, **more: bytes) -> dict[str, bytes]:
    weights = safetensors_bytes(tensors or {"w": ("BF16", (3, 4), 24)})
    content = json.dumps({**CONFIG, **(config or {})}).encode()
    return {"config.json": content, "model.safetensors": weights, **more}


# name, layers, layers with a full cache, KV heads, head width, latent width, window, experts, context, scheme, type
PUBLISHED = [
    ("Qwen3-0.6B", 28, 28, 8, 128, None, None, None, 40960, None, "chat"),
    ("DeepSeek-V3.2", 61, 61, 128, 192, 512, None, 256, 163840, "fp8", "chat"),
    ("Qwen3-Next-80B-A3B", 48, 12, 2, 256, None, None, 512, 262144, None, "chat"),
    ("gpt-oss-20b", 24, 12, 8, 64, None, 128, 32, 131072, "mxfp4", "chat"),
    ("Qwen3-VL-8B-Instruct", 36, 36, 8, 128, None, None, None, 262144, None, "vision"),
]


@pytest.mark.parametrize("expected", PUBLISHED, ids=lambda row: row[0])
def test_published_configurations(expected: tuple[Any, ...]) -> None:
    name, *rest = expected
    config = parse_object((FIXTURES / f"{name}.config.json").read_bytes(), "config.json")
    found = architecture_of(config, has_chat_template=False)
    cache = [found.layers, found.kv_layers, found.kv_heads, found.head_dim, found.kv_lora_rank, found.sliding_window]
    kind = type_of(config, sentence_transformer=False, hint="")
    assert [*cache, found.experts, context_length_of(config), quantization_of(config), kind] == rest


@pytest.mark.parametrize(
    ("config", "side", "hint", "kind"),
    [
        ({}, {}, "", "chat"),
        ({}, {"modules.json": b"[]"}, "", "embedding"),
        ({}, {}, "Qwen3-Embedding-0.6B", "embedding"),
        ({}, {}, "Qwen3-Reranker-0.6B", "rerank"),
        ({"architectures": ["XLMRobertaForSequenceClassification"]}, {}, "", "rerank"),
        ({"architectures": ["BertModel"]}, {}, "", "embedding"),
        ({"architectures": ["DeepseekOCRForCausalLM"]}, {}, "", "ocr"),
        ({"architectures": ["Qwen2_5_VLForConditionalGeneration"], "vision_config": {}}, {}, "", "vision"),
    ],
)
def test_type_is_found(config: dict[str, Any], side: dict[str, bytes], hint: str, kind: str) -> None:
    assert facts_of(model(config, **side), hint=hint).type == kind


def test_packed_weights_count_what_they_stand_for() -> None:
    tensors = {
        "layer.qweight": ("I32", (16, 8), 512),
        "layer.qzeros": ("I32", (2, 2), 16),
        "layer.scales": ("F16", (2, 8), 32),
        "norm.weight": ("F16", (8,), 16),
    }
    found = facts_of(model({"quantization_config": {"quant_method": "gptq", "bits": 4}}, tensors))
    assert (found.parameters, found.quantization) == (16 * 8 * 8 + 8, "gptq")


def test_dtype_is_what_most_weights_have() -> None:
    found = facts_of(model({"torch_dtype": "float32"}, {"a": ("BF16", (4, 4), 32), "b": ("F32", (2,), 8)}))
    assert found.dtype == "bfloat16"


def test_roberta_context_leaves_out_its_reserved_positions() -> None:
    config = {"architectures": ["XLMRobertaModel"], "model_type": "xlm-roberta", "max_position_embeddings": 8194}
    assert facts_of(model(config)).context_length == 8192


def test_sentence_transformer_limit_counts() -> None:
    assert facts_of(model(**{"sentence_bert_config.json": b'{"max_seq_length": 256}'})).context_length == 256


def test_missing_shard_is_named() -> None:
    index = json.dumps({"weight_map": {"a": "model-00002-of-00002.safetensors"}}).encode()
    with pytest.raises(InvalidError, match="model-00002-of-00002"):
        facts_of(model(**{"model.safetensors.index.json": index}))


@pytest.mark.parametrize("index", [b"", b"[]", b'{"weight_map": []}', b'{"weight_map": {"a": [1]}}', b"[" * 200_000])
def test_broken_index_is_refused(index: bytes) -> None:
    with pytest.raises(InvalidError, match="index"):
        facts_of(model(**{"model.safetensors.index.json": index}))


@pytest.mark.parametrize("config", [b"", b"[]", b"nope", b'{"a":' * 100_000, b'{"a":' * 40 + b"1" + b"}" * 40])
def test_broken_configuration_is_refused(config: bytes) -> None:
    with pytest.raises(InvalidError, match=r"config\.json"):
        facts_of({**model(), "config.json": config})


def test_configuration_is_needed() -> None:
    with pytest.raises(InvalidError, match=r"config\.json is missing"):
        facts_of({"model.safetensors": model()["model.safetensors"]})


def test_numbers_no_database_keeps_are_replaced() -> None:
    config = parse_object(b'{"a": NaN, "b": [Infinity, 1e999], "c": 99999999999999999999, "d": "x\\u0000\\ud800"}', "c")
    assert config == {"a": None, "b": [None, None], "c": 1e20, "d": "x?"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
KEYS = ["architectures", "model_type", "text_config", "num_hidden_layers", "hidden_size", "num_attention_heads"]
KEYS += ["layer_types", "sliding_window", "quantization_config", "torch_dtype", "max_position_embeddings", "head_dim"]


@given(st.dictionaries(st.sampled_from(KEYS), json_values))
def test_any_configuration_gives_facts(config: dict[str, Any]) -> None:
    facts_of(model() | {"config.json": json.dumps(config).encode()})


def test_gguf_facts() -> None:
    fields = {
        "general.architecture": "qwen3",
        "general.file_type": 15,
        "qwen3.block_count": 28,
        "qwen3.embedding_length": 1024,
        "qwen3.attention.head_count": 16,
        "qwen3.attention.head_count_kv": 8,
        "qwen3.attention.key_length": 128,
        "qwen3.context_length": 40960,
        "tokenizer.ggml.tokens": ["a", "b", "c"],
        "tokenizer.chat_template": "{{ x }}",
    }
    content = gguf_bytes(fields, {"token_embd.weight": (0, (8, 3), 96)})
    found = facts_of({"m.gguf": content}, format=ModelFormat.GGUF)
    shape = found.architecture
    assert (found.quantization, found.context_length, found.parameters) == ("Q4_K_M", 40960, 24)
    assert (shape.layers, shape.kv_heads, shape.head_dim, shape.vocab_size) == (28, 8, 128, 3)
    assert shape.has_chat_template
    assert found.type == "chat"
