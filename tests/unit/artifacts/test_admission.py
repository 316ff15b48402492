"""Which files of a source enter."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aicp.artifacts.admission import admit, without_remote_code
from aicp.core.errors import InvalidError
from aicp.core.model import ModelFormat

USUAL = [
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt",
    "chat_template.jinja", "README.md", "LICENSE", "model.safetensors.index.json",
    "model-00001-of-00002.safetensors", "1_Pooling/config.json", "qwen.tiktoken", "USE_POLICY.md", "Notice",
]  # fmt: skip
UNSAFE = ["modeling_x.py", "pytorch_model.bin", "model.pt", "a.pth", "a.pkl", "a.ckpt", "lib.so", "run.sh", "x.unknown"]


@pytest.mark.parametrize("strict", [True, False])
def test_usual_files_enter(strict: bool) -> None:
    admission = admit(USUAL, strict=strict)
    assert admission.kept == USUAL
    assert admission.format is ModelFormat.SAFETENSORS
    assert admission.notes == []


def test_strict_refuses_unsafe_files_with_the_list() -> None:
    with pytest.raises(InvalidError) as caught:
        admit([*USUAL, *UNSAFE], strict=True)
    assert caught.value.status == 422
    assert [item["path"] for item in caught.value.details["files"]] == UNSAFE


def test_otherwise_unsafe_files_are_left_out_and_noted() -> None:
    admission = admit([*USUAL, *UNSAFE, "picture.png"], strict=False)
    assert admission.kept == USUAL
    assert len(admission.notes) == len(UNSAFE) + 1
    assert any("modeling_x.py: code" in note for note in admission.notes)


def test_git_folder_is_ignored_even_in_a_folder() -> None:
    assert admit([*USUAL, ".gitattributes", ".git/HEAD", "original/params.json"], strict=True).kept == USUAL


@pytest.mark.parametrize("paths", [[], ["config.json", "pytorch_model.bin"], ["mmproj-m.gguf"]])
def test_without_safe_weights_there_is_no_model(paths: list[str]) -> None:
    with pytest.raises(InvalidError, match="safe format"):
        admit(paths, strict=False)


def test_second_copy_of_the_weights_is_left_out() -> None:
    admission = admit([*USUAL, "consolidated.safetensors", "model.gguf"], strict=False)
    assert admission.kept == USUAL
    assert admit(["config.json", "consolidated.safetensors"], strict=True).kept[1] == "consolidated.safetensors"


def test_several_gguf_models_must_be_told_apart() -> None:
    with pytest.raises(InvalidError, match="2 GGUF models") as caught:
        admit(["m-Q4_K_M.gguf", "m-Q8_0.gguf"], strict=False)
    assert caught.value.details["models"] == ["m-Q4_K_M", "m-Q8_0"]
    parts = ["m-Q4_K_M-00001-of-00002.gguf", "m-Q4_K_M-00002-of-00002.gguf", "mmproj-m.gguf"]
    assert admit(parts, strict=True).format is ModelFormat.GGUF


def test_auto_map_is_removed_at_every_depth() -> None:
    config = {"auto_map": {"AutoModel": "x.Y"}, "a": [{"auto_map": 1, "b": 2}], "c": {"auto_map": None, "d": 1}}
    cleaned = without_remote_code(json.dumps(config).encode())
    assert cleaned is not None
    assert json.loads(cleaned) == {"a": [{"b": 2}], "c": {"d": 1}}
    assert without_remote_code(b'{"a": 1}') is None


def test_escaped_auto_map_is_removed_too() -> None:
    assert without_remote_code(b'{"auto\\u005fmap": {"AutoModel": "x.Y"}, "a": 1}') == b'{\n  "a": 1\n}'


@given(st.binary(max_size=200))
def test_any_bytes_are_json_or_an_error_in_words(content: bytes) -> None:
    with suppress(InvalidError):
        without_remote_code(content)


def test_deep_json_is_an_error_in_words() -> None:
    with pytest.raises(InvalidError, match="not valid JSON"):
        without_remote_code(b"[" * 200_000)
