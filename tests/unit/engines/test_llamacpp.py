"""Which parameters llama.cpp gets, which file it opens, and what it needs."""

from __future__ import annotations

import pytest
from tests.support.engines import CPU, make_request, make_version

from aicp.core.errors import InvalidError
from aicp.core.model import Architecture, ModelFile, ModelFormat, ModelType, ModelVersion
from aicp.core.quantity import MIB
from aicp.core.registry import Registry
from aicp.core.service import Mode
from aicp.engines.base import Engine, Sizing

ENGINE = Registry[Engine]("aicp.engines").get("llamacpp")


def gguf(*paths: str, name: str = "qwen3", weight_bytes: int = 100_000_000, **shape: int) -> ModelVersion:
    files = [ModelFile(path=path, sha256="0" * 64, size_bytes=1) for path in paths or ("model.gguf",)]
    numbers = {"layers": 4, "hidden_size": 256, "kv_heads": 2, "head_dim": 64, "vocab_size": 2048, **shape}
    return make_version(
        format=ModelFormat.GGUF, files=files, weight_bytes=weight_bytes, architecture=Architecture(name=name, **numbers)
    )


def test_each_user_gets_the_asked_context() -> None:
    command = ENGINE.launch(make_request(gguf(), context_length=1000, users=3)).command
    assert command[command.index("--ctx-size") + 1] == str(3 * 1024)
    assert command[command.index("--parallel") + 1] == "3"


def test_the_first_shard_is_opened_and_projectors_are_not() -> None:
    shards = [f"q/big-0000{n}-of-00003.gguf" for n in (1, 2, 3)]
    version = gguf("q/mmproj-model.gguf", *shards, "README.md")
    assert ENGINE.launch(make_request(version)).weights_file == shards[0]
    assert ENGINE.supports(version, ModelType.CHAT, [CPU]).fits


def test_two_models_in_one_version_are_a_question_not_a_guess() -> None:
    version = gguf("a-q4.gguf", "a-q8.gguf")
    fit = ENGINE.supports(version, ModelType.CHAT, [CPU])
    assert not fit.fits
    assert "a-q4.gguf" in fit.suggestions[0]
    with pytest.raises(InvalidError):
        ENGINE.launch(make_request(version))


@pytest.mark.parametrize(
    ("model_type", "word"), [(ModelType.EMBEDDING, "--embeddings"), (ModelType.RERANK, "--rerank")]
)
def test_pooling_models_are_started_for_it_with_a_step_as_long_as_a_text(model_type: ModelType, word: str) -> None:
    command = ENGINE.launch(make_request(gguf(name="bert"), model_type=model_type, context_length=2048)).command
    assert word in command
    assert command[command.index("--ubatch-size") + 1] == "2048"
    assert command[command.index("--batch-size") + 1] == "2048"


def test_nothing_of_the_server_is_open_that_nobody_needs() -> None:
    command = ENGINE.launch(make_request(gguf())).command
    assert {"--no-webui", "--no-slots", "--offline"} <= set(command)
    assert command[command.index("--cache-ram") + 1] == "0"
    assert "--tools" not in command


def test_user_flags_become_words() -> None:
    flags = {"cache_type_k": "q8_0", "context_shift": True, "ubatch_size": 128}
    command = ENGINE.launch(make_request(gguf(), mode=Mode.CUSTOM, flags=flags)).command
    assert command[command.index("--cache-type-k") + 1] == "q8_0"
    assert "--context-shift" in command
    assert command[command.index("--ubatch-size") + 1] == "128"


# Peaks of the process measured with all users at full context: docs/reference/engines.md, table "Memory".
@pytest.mark.parametrize(
    ("weights", "layers", "hidden", "heads", "dim", "vocab", "context", "users", "measured_mib"),
    [
        (3_234_016, 6, 192, 2, 32, 2048, 1024, 4, 34),
        (3_234_016, 6, 192, 2, 32, 2048, 2048, 8, 56),
        (148_106_592, 20, 768, 4, 64, 2048, 1024, 4, 262),
        (470_494_656, 28, 1024, 8, 128, 2048, 1024, 4, 944),
        (885_337_536, 28, 1024, 8, 128, 2048, 2048, 2, 1342),
        (36_700_000, 6, 192, 2, 32, 151_936, 1024, 4, 94),
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
    version = gguf(
        weight_bytes=weights, layers=layers, hidden_size=hidden, kv_heads=heads, head_dim=dim, vocab_size=vocab
    )
    parts = ENGINE.estimate(version, ModelType.CHAT, Mode.BALANCED, Sizing(context, users, 2.0))
    assert sum(part.bytes for part in parts) / MIB == pytest.approx(measured_mib, rel=0.15)
