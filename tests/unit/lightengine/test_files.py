"""Reading of weights, their quantization, and the encoded graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.model_files import safetensors_bytes
from tests.support.tiny_bert import write_tiny_bert
from tests.support.tiny_encoders import CONFIGS, write_tiny_encoder

from aicp.artifacts.formats.inspect import FileSet, check_weights
from aicp.core.errors import InvalidError
from aicp_lightengine.encoder import HEAD, MEAN, build
from aicp_lightengine.errors import ModelError
from aicp_lightengine.families import shape_of
from aicp_lightengine.ocr_files import find_ocr_files
from aicp_lightengine.onnx_model import Graph
from aicp_lightengine.quantize import quantize, weight_levels
from aicp_lightengine.tensors import read_tensors


def test_tensors_of_every_type_are_read_as_they_were_written(tmp_path: Path) -> None:
    values = np.array([[1.5, -2.25], [0.0, 3.0]], np.float32)
    kinds = {
        "F32": values.tobytes(),
        "F16": values.astype("<f2").tobytes(),
        "BF16": (values.view(np.uint32) >> 16).astype("<u2").tobytes(),
    }
    for kind, data in kinds.items():
        content = safetensors_bytes({"a": (kind, [2, 2], len(data))}, data)
        (tmp_path / "model.safetensors").write_bytes(content)
        assert read_tensors(tmp_path)["a"].tolist() == values.tolist(), kind


@pytest.mark.parametrize("content", [b"", b"\xff" * 20, b"\x02\0\0\0\0\0\0\0{]"])
def test_a_broken_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        read_tensors(tmp_path)


def test_a_folder_without_weights_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no \.safetensors"):
        read_tensors(tmp_path)


@given(st.lists(st.lists(st.floats(-8, 8, width=32), min_size=3, max_size=3), min_size=1, max_size=4))
def test_a_quantized_weight_is_off_by_half_a_step_at_most(rows: list[list[float]]) -> None:
    weight = np.array(rows, np.float32)
    for levels in (63, 127):
        values, scales = quantize(weight, levels)
        assert values.shape == (3, len(rows))
        assert int(np.abs(values).max(initial=0)) <= levels
        assert np.all(np.abs(values.T * scales[:, None] - weight) <= scales[:, None] * 0.5001)


def test_weights_are_smaller_where_pairs_of_products_would_saturate(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("flags : avx2 avx512_vnni\n")
    assert weight_levels(info) == 127
    info.write_text("flags : avx2\n")
    assert weight_levels(info) == 63
    assert weight_levels(tmp_path / "nothing") == 63


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_every_family_becomes_a_whole_onnx_model(name: str, tmp_path: Path) -> None:
    folder = write_tiny_encoder(tmp_path / "model", name)
    graph = build(shape_of(CONFIGS[name]), read_tensors(folder), MEAN if "embedding" in name else HEAD, int8=False)
    content = graph.encode()
    (tmp_path / "model.onnx").write_bytes(content)
    files = FileSet({"model.onnx": len(content)}, lambda path: (tmp_path / path).open("rb"))
    check_weights(files, "model.onnx")
    assert len(content) < 50_000, "weights are given beside it"
    files = FileSet({"model.onnx": len(content) - 1}, files.open)
    with pytest.raises(InvalidError, match="whole ONNX"):
        check_weights(files, "model.onnx")


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    tensors = read_tensors(write_tiny_bert(tmp_path / "model"))
    tensors.pop("bert.encoder.layer.1.output.dense.bias")
    config = {**CONFIGS["bert-embedding"], "hidden_size": 64, "num_attention_heads": 2}
    with pytest.raises(ModelError, match=r"encoder\.layer\.1\.output\.dense\.bias"):
        build(shape_of(config), tensors, MEAN, int8=False)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_type": "llama"}, "'llama' is not known"),
        ({"position_embedding_type": "relative_key"}, "absolute positions"),
        ({"is_decoder": True}, "decoder"),
        ({"hidden_size": None}, "config.json"),
    ],
)
def test_what_is_not_computed_is_said(change: dict[str, object], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        shape_of({**CONFIGS["bert-embedding"], **change})


def test_roberta_s_positions_begin_after_the_padding() -> None:
    assert shape_of(CONFIGS["roberta-classifier"]).longest == 62
    assert shape_of(CONFIGS["bert-embedding"]).longest == 64


def test_numbers_of_every_size_are_encoded() -> None:
    graph = Graph()
    graph.output("result", graph.constant(np.array([-1, 2**40], np.int64)), "n")
    assert (-1 & (2**64 - 1)).to_bytes(8, "little") in graph.encode()


def test_a_reader_of_images_is_known_by_its_files(tmp_path: Path) -> None:
    for name in ("PP-OCRv6_det_small.onnx", "PP-OCRv6_rec_small.onnx"):
        (tmp_path / name).touch()
    files = find_ocr_files(tmp_path)
    assert files is not None
    assert files.direct is None
    (tmp_path / "other_rec.onnx").touch()
    assert find_ocr_files(tmp_path) is None
