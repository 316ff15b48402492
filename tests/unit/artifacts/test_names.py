"""Paths that may enter, and those that may not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aicp.artifacts.names import MAX_FILES, check_paths, path_problem
from aicp.core.errors import InvalidError


@pytest.mark.parametrize("path", ["a", "a/b.json", "模型/权重.safetensors", "a b", ".hidden", "a..b", "a./b"])
def test_ordinary_paths_enter(path: str) -> None:
    check_paths([path])


@pytest.mark.parametrize(
    "path",
    [
        *("", "/etc/passwd", "..", "../x", "a/../x", "a/./x", "a//x", "a/", "C:/x"),
        *("a\\b", "a\0b", "a\nb", "a\u202eb", "\ud800", "x" * 256, "x/" * 600 + "y"),
    ],
)
def test_dangerous_paths_are_listed(path: str) -> None:
    with pytest.raises(InvalidError) as caught:
        check_paths(["fine", path])
    # What no JSON text or database takes is told with escapes.
    told = path.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
    assert [item["path"] for item in caught.value.details["files"]] == [told]


@pytest.mark.parametrize(
    "paths",
    [["a", "a"], ["a/B", "A/b"], ["stra\u00dfe", "STRASSE"], ["e\u0301", "\u00e9"], ["a", "a/b"], ["A/x", "a"]],
)
def test_colliding_paths_are_refused(paths: list[str]) -> None:
    with pytest.raises(InvalidError, match="may not enter"):
        check_paths(paths)


def test_number_of_files_is_limited() -> None:
    check_paths(str(number) for number in range(MAX_FILES))
    with pytest.raises(InvalidError, match="10,001 files"):
        check_paths(str(number) for number in range(MAX_FILES + 1))


@given(st.text(max_size=60))
def test_accepted_paths_stay_inside(path: str) -> None:
    if path_problem(path) is None:
        assert not path.startswith("/")
        assert ".." not in path.split("/")
        assert "\0" not in path
