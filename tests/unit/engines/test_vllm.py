"""Which parameters vLLM gets in which mode, and what it can serve."""

from __future__ import annotations

import json

import pytest
from tests.support.engines import CPU, make_request, make_version

from aicp.core.accelerator import Accelerator
from aicp.core.errors import InvalidError
from aicp.core.launch import Allocation, DeviceShare
from aicp.core.model import Architecture, ModelType
from aicp.core.quantity import GIB, MIB
from aicp.core.registry import Registry
from aicp.core.service import Mode
from aicp.engines.base import Engine, LaunchRequest, ReportsCache, Sizing

ENGINE = Registry[Engine]("aicp.engines").get("vllm")
GPU = Accelerator(vendor="nvidia", index=0, device_id="GPU-1", product="a card", memory_bytes=80 * GIB)


def values(request: LaunchRequest) -> dict[str, object]:
    return {choice.name: choice.value for choice in ENGINE.settings(request)}


@pytest.mark.parametrize(
    ("facts", "fits"),
    [
        ({"head_dim": 64}, True),
        ({"head_dim": 16}, False),
        ({"hidden_size": 64, "attention_heads": 4}, False),
        ({"head_dim": 192, "kv_lora_rank": 512}, True),
        ({"head_dim": 24, "kv_lora_rank": 512}, True),
        ({}, True),
    ],
)
def test_heads_that_no_processor_kernel_takes_are_refused(facts: dict[str, int], fits: bool) -> None:
    version = make_version(architecture=Architecture(name="LlamaForCausalLM", has_chat_template=True, **facts))
    fit = ENGINE.supports(version, ModelType.CHAT, [CPU])
    assert fit.fits is fits
    assert fits or "heads of 16 values" in fit.reason


@pytest.mark.parametrize(("mode", "step"), [(Mode.BALANCED, 256), (Mode.LONG_TEXT, 1024), (Mode.CUSTOM, 256)])
def test_the_mode_sets_the_step(mode: Mode, step: int) -> None:
    assert values(make_request(mode=mode))["max_num_batched_tokens"] == step


def test_what_generates_text_tells_of_its_cache_beside_its_socket() -> None:
    command = ENGINE.launch(make_request()).command
    told = json.loads(command[command.index("--kv-events-config") + 1])
    assert isinstance(ENGINE, ReportsCache)
    assert told["endpoint"] == f"ipc://{ENGINE.cache_events(ModelType.CHAT)}"
    assert "--kv-events-config" not in ENGINE.launch(make_request(model_type=ModelType.EMBEDDING)).command


def test_the_allocation_sets_the_threads() -> None:
    spec = ENGINE.launch(make_request(cpu_cores=3.5))
    assert spec.env["OMP_NUM_THREADS"] == "3"
    assert ENGINE.launch(make_request(cpu_cores=0.5)).env["OMP_NUM_THREADS"] == "1"


def test_the_cache_holds_every_user_at_full_context_and_one_spare_block() -> None:
    # 2 x 12 layers x 4 heads x 64 x 2 bytes = 12,288 bytes a token; 1000 tokens fill 8 blocks of 128.
    request = make_request(context_length=1000, users=4)
    assert values(request)["kv_cache_memory_bytes"] == (4 * 8 + 1) * 128 * 12_288


def test_an_embedding_model_gets_the_pooling_runner_and_one_step_for_its_longest_text() -> None:
    chosen = values(make_request(model_type=ModelType.EMBEDDING, context_length=512))
    assert chosen["runner"] == "pooling"
    assert chosen["max_num_batched_tokens"] == 512
    assert chosen["kv_cache_memory_bytes"] == 16 * MIB


def test_a_context_beyond_the_model_is_refused_with_the_limit() -> None:
    with pytest.raises(InvalidError) as caught:
        ENGINE.settings(make_request(make_version(context_length=2048), context_length=4096))
    assert "2048" in (caught.value.hint or "")


def test_user_flags_replace_the_choice_and_become_words() -> None:
    flags = {"enforce_eager": False, "tool_call_parser": "hermes", "max_num_batched_tokens": 512}
    command = ENGINE.launch(make_request(mode=Mode.CUSTOM, flags=flags)).command
    assert "--no-enforce-eager" in command
    assert command[command.index("--tool-call-parser") + 1] == "hermes"
    assert "--enable-auto-tool-choice" in command
    assert command[command.index("--max-num-batched-tokens") + 1] == "512"
    off = ENGINE.launch(make_request(mode=Mode.CUSTOM, flags={"enable_prefix_caching": False})).command
    assert "--no-enable-prefix-caching" in off


def test_a_wrong_flag_names_its_field() -> None:
    with pytest.raises(InvalidError) as refused:
        ENGINE.settings(make_request(mode=Mode.CUSTOM, flags={"seed": -1}))
    assert refused.value.details["fields"] == {"spec.engine_flags.seed": refused.value.message}


def test_a_step_holds_a_token_of_every_request() -> None:
    assert values(make_request(users=300))["max_num_batched_tokens"] == 300
    with pytest.raises(InvalidError, match="max_num_seqs is 1024"):
        ENGINE.settings(make_request(mode=Mode.CUSTOM, flags={"max_num_seqs": 1024}))


def test_code_of_a_model_is_never_trusted() -> None:
    assert not any("trust" in word for word in ENGINE.launch(make_request()).command)


def test_nothing_is_sent_home_or_fetched() -> None:
    env = ENGINE.launch(make_request()).env
    assert env["HF_HUB_OFFLINE"] == env["VLLM_NO_USAGE_STATS"] == env["DO_NOT_TRACK"] == "1"


def test_devices_share_the_weights_and_the_cache() -> None:
    devices = [DeviceShare(vendor="nvidia", device_id=f"GPU-{n}", index=n) for n in range(2)]
    allocation = Allocation(node_id="n", devices=devices, cpu_cores=4, memory_bytes=8 * GIB)
    whole = values(make_request(variant="cuda"))["kv_cache_memory_bytes"]
    chosen = values(make_request(variant="cuda", allocation=allocation))
    assert chosen["tensor_parallel_size"] == 2
    assert chosen["kv_cache_memory_bytes"] == int(str(whole)) // 2
    assert "threads" not in chosen
    assert "enforce_eager" not in chosen


def test_variants_follow_the_accelerators_best_first() -> None:
    assert ENGINE.variants([CPU]) == ["cpu"]
    assert ENGINE.variants([CPU, GPU]) == ["cuda", "cpu"]


@pytest.mark.parametrize(
    ("architecture", "model_type", "fits"),
    [
        ("Qwen3ForCausalLM", ModelType.CHAT, True),
        ("Qwen3ForCausalLM", ModelType.EMBEDDING, True),
        ("BertModel", ModelType.EMBEDDING, True),
        ("BertModel", ModelType.RERANK, True),
        ("BertModel", ModelType.CHAT, False),
        ("XLMRobertaForSequenceClassification", ModelType.RERANK, True),
        ("Qwen3ForSequenceClassification", ModelType.RERANK, True),
        ("Qwen3ForSequenceClassification", ModelType.CHAT, False),
        ("Qwen3ForCausalLM", ModelType.VISION, False),
    ],
)
def test_the_architecture_decides_for_each_type(architecture: str, model_type: ModelType, fits: bool) -> None:
    version = make_version(architecture=Architecture(name=architecture))
    assert ENGINE.supports(version, model_type, [CPU]).fits is fits


@pytest.mark.parametrize(("scheme", "fits"), [(None, True), ("awq", True), ("bitsandbytes", False)])
def test_unknown_quantization_is_refused(scheme: str | None, fits: bool) -> None:
    assert ENGINE.supports(make_version(quantization=scheme), ModelType.CHAT, [CPU]).fits is fits


def test_a_model_without_template_is_served_with_a_note() -> None:
    version = make_version(architecture=Architecture(name="Qwen3ForCausalLM"))
    assert "chat template" in ENGINE.supports(version, ModelType.CHAT, [CPU]).suggestions[0]


@pytest.mark.parametrize(
    ("parameters", "node_cores", "cores"),
    [(4_000_000, 2, 1), (4_000_000, 64, 1), (600_000_000, 2, 2), (600_000_000, 1, 1), (600_000_000, 16, 8)],
)
def test_small_models_leave_cores_to_others(parameters: int, node_cores: float, cores: float) -> None:
    version = make_version(parameters=parameters)
    assert ENGINE.defaults(version, ModelType.CHAT, Mode.BALANCED, node_cores).cpu_cores == cores


# Peaks of all processes measured on a quiet-enough machine: docs/reference/engines.md, table "Memory".
@pytest.mark.parametrize(
    ("weights", "layers", "hidden", "heads", "dim", "vocab", "context", "users", "measured_mib"),
    [
        (7_348_736, 4, 256, 2, 64, 2048, 2048, 8, 1018),
        (278_489_672, 20, 768, 4, 64, 2048, 2048, 8, 1642),
        (885_164_256, 28, 1024, 8, 128, 2048, 2048, 4, 3085),
        (63_500_000, 6, 192, 2, 32, 151_936, 2048, 8, 1173),
    ],
)
def test_the_estimate_is_within_15_percent_of_measured_peaks(
    weights: int,
    layers: int,
    hidden: int,
    heads: int,
    dim: int,
    vocab: int,
    context: int,
    users: int,
    measured_mib: int,
) -> None:
    shape = Architecture(
        name="Qwen3ForCausalLM", layers=layers, hidden_size=hidden, kv_heads=heads, head_dim=dim, vocab_size=vocab
    )
    version = make_version(weight_bytes=weights, architecture=shape)
    parts = ENGINE.estimate(version, ModelType.CHAT, Mode.BALANCED, Sizing(context, users, 2.0))
    assert sum(part.bytes for part in parts) / MIB == pytest.approx(measured_mib, rel=0.15)
