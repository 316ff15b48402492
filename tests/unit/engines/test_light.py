"""What the light engine serves, how it is started, and that it comes before larger engines."""

from __future__ import annotations

import pytest
from tests.support.engines import CPU, make_request, make_version

from aicp.core.accelerator import Accelerator
from aicp.core.errors import InvalidError
from aicp.core.launch import Allocation, DeviceShare
from aicp.core.model import Architecture, ModelFile, ModelFormat, ModelType, ModelVersion
from aicp.core.quantity import GIB
from aicp.core.registry import Registry
from aicp.core.service import Mode
from aicp.engines.base import Engine, LaunchRequest, Specialized

ENGINE = Registry[Engine]("aicp.engines").get("light")
NVIDIA = Accelerator(vendor="nvidia", index=0, device_id="gpu-0", product="card", memory_bytes=24 * GIB)


def encoder(name: str = "BertModel", *, tokenizer: bool = True, **more: object) -> ModelVersion:
    paths = ["model.safetensors", *(["tokenizer.json"] if tokenizer else [])]
    files = [ModelFile(path=path, sha256="0" * 64, size_bytes=1) for path in paths]
    shape = {"layers": 6, "hidden_size": 384, "attention_heads": 12, "vocab_size": 30522, "config": more}
    return make_version(files=files, context_length=512, architecture=Architecture(name=name, **shape))


@pytest.mark.parametrize(
    ("name", "kind", "fits"),
    [
        ("BertModel", ModelType.EMBEDDING, True),
        ("XLMRobertaModel", ModelType.EMBEDDING, True),
        ("DistilBertForSequenceClassification", ModelType.CLASSIFICATION, True),
        ("RobertaForSequenceClassification", ModelType.RERANK, True),
        ("BertModel", ModelType.RERANK, False),
        ("ModernBertModel", ModelType.EMBEDDING, False),
        ("Qwen3ForCausalLM", ModelType.EMBEDDING, False),
        ("BertModel", ModelType.CHAT, False),
    ],
)
def test_it_serves_encoders_and_nothing_else(name: str, kind: ModelType, fits: bool) -> None:
    fit = ENGINE.supports(encoder(name), kind, [CPU])
    assert fit.fits is fits, fit.reason


def test_what_would_fail_at_the_start_is_said_before() -> None:
    assert "tokenizer.json" in ENGINE.supports(encoder(tokenizer=False), ModelType.EMBEDDING, [CPU]).reason
    relative = encoder(position_embedding_type="relative_key")
    assert "absolute" in ENGINE.supports(relative, ModelType.EMBEDDING, [CPU]).reason


def test_images_are_read_by_onnx_files_alone() -> None:
    reader = make_version(format=ModelFormat.ONNX, architecture=Architecture(name="PP-OCR"))
    assert ENGINE.supports(reader, ModelType.OCR, [CPU]).fits
    assert not ENGINE.supports(reader, ModelType.EMBEDDING, [CPU]).fits
    assert not ENGINE.supports(encoder(), ModelType.OCR, [CPU]).fits


def test_the_device_and_the_threads_are_told() -> None:
    request = make_request(encoder(), model_type=ModelType.EMBEDDING, context_length=256)
    command = ENGINE.launch(request).command
    assert command[command.index("--device") + 1] == "cpu"
    assert command[command.index("--threads") + 1] == "{threads}"
    assert command[command.index("--context-length") + 1] == "256"
    assert ENGINE.variants([CPU, NVIDIA]) == ["cuda", "cpu"]


def test_int8_is_for_processors() -> None:
    flags = {"precision": "int8"}
    more = {"model_type": ModelType.EMBEDDING, "mode": Mode.CUSTOM, "flags": flags, "context_length": 256}
    assert "int8" in ENGINE.launch(make_request(encoder(), **more)).command
    with pytest.raises(InvalidError, match="processors"):
        ENGINE.launch(make_request(encoder(), variant="cuda", **more))


def test_a_context_beyond_the_model_is_refused() -> None:
    with pytest.raises(InvalidError, match="512"):
        ENGINE.launch(make_request(encoder(), model_type=ModelType.EMBEDDING, context_length=513))


def test_it_was_made_for_small_models() -> None:
    assert isinstance(ENGINE, Specialized)
    assert ModelType.EMBEDDING in ENGINE.specialty
    assert ModelType.CHAT not in ENGINE.specialty


def test_a_batch_that_a_flag_makes_larger_must_fit_the_memory_given() -> None:
    flags = {"max_batch_tokens": 131_072}
    more = {"model_type": ModelType.EMBEDDING, "mode": Mode.CUSTOM, "context_length": 512, "flags": flags}

    def given(size: int, *, mechanism: str | None = None, **changes: object) -> LaunchRequest:
        share = DeviceShare(vendor="nvidia", device_id="gpu-0", index=0, memory_bytes=size, mechanism=mechanism)
        on_card = "variant" in changes
        allocation = Allocation(
            node_id="n", devices=[share] if on_card else [], cpu_cores=1, memory_bytes=GIB if on_card else size
        )
        return make_request(encoder(), **{**more, "allocation": allocation, **changes})

    with pytest.raises(InvalidError, match="131072 tokens need") as refused:
        ENGINE.launch(given(2 * GIB))
    assert "spec.engine_flags.max_batch_tokens" in refused.value.details["fields"]
    assert "131072" in ENGINE.launch(given(8 * GIB)).command
    smaller = {"max_batch_tokens": 1024}
    assert "1024" in ENGINE.launch(given(1, flags=smaller)).command, "the estimate counts more than that"
    with pytest.raises(InvalidError, match="131072 tokens need"):
        ENGINE.launch(given(2 * GIB, mechanism="mps", variant="cuda"))
    assert "131072" in ENGINE.launch(given(2 * GIB, variant="cuda")).command, "a whole card is larger than its share"
