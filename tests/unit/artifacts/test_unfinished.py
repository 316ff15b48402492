"""Downloads that broke off wait for the next job, but not for ever and not without bound."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aicp.artifacts.unfinished import Unfinished
from aicp.core.errors import InvalidError, UnavailableError


class Canceled(Exception):
    """The job was canceled."""


@pytest.fixture
def unfinished(tmp_path: Path) -> Unfinished:
    return Unfinished(tmp_path / "unfinished")


def leave(unfinished: Unfinished, key: str, error: BaseException | None = None, size: int = 3) -> None:
    """A download of `size` bytes that ends with `error`."""
    try:
        with unfinished.folder(key) as folder:
            (folder / "x").write_bytes(b"x" * size)
            if error:
                raise error
    except type(error or UnavailableError("")):
        pass


def left(unfinished: Unfinished, key: str) -> bool:
    """Whether the next job finds what an earlier one left."""
    with pytest.raises(Canceled), unfinished.folder(key) as folder:
        raise Canceled(found := (folder / "x").exists())
    return found


@pytest.mark.parametrize(
    ("error", "stays"),
    [
        (UnavailableError("broken off"), True),
        (Canceled(), True),
        (KeyboardInterrupt(), True),
        (InvalidError("wrong digest"), False),
        (OSError("the disk is full"), False),
        (None, False),
    ],
)
def test_what_may_go_on_stays(unfinished: Unfinished, error: BaseException | None, stays: bool) -> None:
    leave(unfinished, "a", error)
    assert left(unfinished, "a") == stays
    assert not left(unfinished, "b")
    assert len(list(unfinished.root.iterdir())) == stays


def test_two_jobs_never_write_the_same_folder(unfinished: Unfinished) -> None:
    with unfinished.folder("a") as first, unfinished.folder("a") as second:
        assert first != second
    assert list(unfinished.root.iterdir()) == []


def test_the_old_goes_and_the_oldest_beyond_the_bound(unfinished: Unfinished) -> None:
    for number, key in enumerate(("old", "large", "new")):
        leave(unfinished, key, UnavailableError(""), size=100)
        (folder,) = (path for path in unfinished.root.iterdir() if path.stat().st_mtime > 1_000_000)
        for path in (folder / "x", folder):
            os.utime(path, (1000 + number, 1000 + number))
    assert unfinished.forget(older_than=1001, most_bytes=1000) == 1
    assert unfinished.forget(older_than=0, most_bytes=150) == 1
    assert (left(unfinished, "old"), left(unfinished, "large"), left(unfinished, "new")) == (False, False, True)
    with unfinished.folder("new"):
        assert unfinished.forget(older_than=10**12, most_bytes=0) == 0
