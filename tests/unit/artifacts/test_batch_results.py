"""Results of a batch: each line once, wherever a crash cuts what was being written."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aicp.artifacts.batch_results import BatchResults
from aicp.core.errors import ConflictError

NAMES = [f"line {number}" for number in range(8)]


def line_of(name: str, padding: int = 0) -> bytes:
    return json.dumps({"id": "x", "custom_id": name, "text": "é" * padding}, ensure_ascii=False).encode()


def names_in(path: Path) -> list[str]:
    return [json.loads(line)["custom_id"] for line in path.read_bytes().splitlines()]


def test_a_line_is_done_once_and_known_again(tmp_path: Path) -> None:
    with BatchResults(tmp_path, "batch_1") as results:
        results.add("a", line_of("a"), answered=True)
        results.add("b", line_of("b"), answered=False)
        results.add("a", line_of("a"), answered=False)
    with BatchResults(tmp_path, "batch_1") as again:
        assert again.done == {"a", "b"}
        assert (again.completed, again.failed) == (1, 1)
        sizes = again.finish(tmp_path / "out", tmp_path / "err")
        assert sizes == (len(line_of("a")) + 1, len(line_of("b")) + 1)
        again.remove()
    assert names_in(tmp_path / "out") == ["a"]
    assert names_in(tmp_path / "err") == ["b"]
    assert {path.name for path in tmp_path.iterdir()} == {"out", "err"}


def test_an_empty_file_is_not_made(tmp_path: Path) -> None:
    with BatchResults(tmp_path, "batch_1") as results:
        results.add("a", line_of("a"), answered=True)
        assert results.finish(tmp_path / "out", tmp_path / "err")[1] == 0
    assert not (tmp_path / "err").exists()


def test_what_it_becomes_is_as_young_as_its_row_will_be(tmp_path: Path) -> None:
    """The last result may have come long before; the cleanup removes old files that have no row yet."""
    with BatchResults(tmp_path, "batch_1") as results:
        results.add("a", line_of("a"), answered=True)
        os.utime(tmp_path / "batch_1.output", (0, 0))
        before = time.time()
        results.finish(tmp_path / "out", tmp_path / "err")
    assert (tmp_path / "out").stat().st_mtime >= before - 1


def test_two_processes_never_write_the_same_batch(tmp_path: Path) -> None:
    with BatchResults(tmp_path, "batch_1"), pytest.raises(ConflictError):
        BatchResults(tmp_path, "batch_1")
    BatchResults(tmp_path, "batch_1").close()


@pytest.mark.parametrize("broken", [b"\0" * 4096, b"\0" * 9 + b"\n", b'{"id": "x"}\n', b'{"custom_id": "\xff"}\n'])
def test_after_a_loss_of_power_lines_from_the_first_broken_one_on_are_run_again(tmp_path: Path, broken: bytes) -> None:
    with BatchResults(tmp_path, "batch_1") as results:
        for name in ("a", "b", "c"):
            results.add(name, line_of(name), answered=True)
    written = (tmp_path / "batch_1.output").read_bytes().splitlines(keepends=True)
    (tmp_path / "batch_1.output").write_bytes(written[0] + broken + written[2])
    with BatchResults(tmp_path, "batch_1") as again:
        assert (again.done, again.completed) == ({"a"}, 1)
        for name in ("b", "c"):
            again.add(name, line_of(name), answered=True)
        again.finish(tmp_path / "out", tmp_path / "err")
    assert names_in(tmp_path / "out") == ["a", "b", "c"]


@given(
    written=st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 40_000), st.booleans()), max_size=8),
    lost=st.tuples(st.integers(0, 90_000), st.integers(0, 90_000)),
)
def test_whatever_a_crash_leaves_every_line_ends_with_one_result(
    written: list[tuple[str, int, bool]], lost: tuple[int, int]
) -> None:
    """A crash may cut both files anywhere: what is whole stays, the rest is run again."""
    with TemporaryDirectory() as folder:
        place = Path(folder)
        with BatchResults(place, "b") as results:
            for name, padding, answered in written:
                results.add(name, line_of(name, padding), answered=answered)
        for kind, count in zip(("output", "error"), lost, strict=True):
            path = place / f"b.{kind}"
            path.write_bytes(path.read_bytes()[: max(0, path.stat().st_size - count)])
        with BatchResults(place, "b") as results:
            for name in NAMES:
                results.add(name, line_of(name), answered=True)
            results.finish(place / "out", place / "err")
        found = [name for kind in ("out", "err") if (place / kind).exists() for name in names_in(place / kind)]
        assert sorted(found) == sorted(NAMES)
