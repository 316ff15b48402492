"""Who can see what: views by namespace, and passage by access list where there are none."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from aicp.agent.confinement import View, allow_passage, closed_directories, plan_view

NOBODY = 65534
root = pytest.mark.skipif(os.geteuid() != 0, reason="not run: needs root")


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """A directory tree that only its owner may enter, with a file in it that all may read."""
    outer = tmp_path / "outer"
    inner = outer / "inner" / "open"
    inner.mkdir(parents=True)
    (inner / "file").write_text("content")
    (inner / "file").chmod(0o644)
    outer.chmod(0o700)
    (outer / "inner").chmod(0o700)
    yield inner
    for path in (outer / "inner", outer):
        path.chmod(0o700)


def test_closed_directories_are_found_outermost_first(closed: Path) -> None:
    found = closed_directories(closed)
    assert found[-2:] == [closed.parents[1], closed.parents[0]]
    assert closed not in found


def test_a_view_hides_the_outermost_closed_directory_and_shows_what_is_below(tmp_path: Path) -> None:
    data = tmp_path / "data"
    model, home = data / "models" / "m", data / "home"
    for path in (model, home):
        path.mkdir(parents=True)
    view = plan_view(data, [model, Path("/usr")], [home])
    assert len(view.hidden) == 1
    assert Path(view.hidden[0]) in {data, *data.parents}
    assert view.readable == [str(model)], "what is outside needs no door"
    assert view.writable == [str(home)]
    assert plan_view(Path("/usr/share"), [Path("/usr/bin")], []) == View(["/usr/share"], [], [])


@root
@pytest.mark.root
def test_passage_opens_the_way_for_one_user_and_shows_nothing(closed: Path) -> None:
    def as_nobody(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, text=True, check=False
        )

    assert as_nobody("cat", str(closed / "file")).returncode != 0
    for _ in range(2):
        allow_passage(closed / "file", NOBODY)
    allow_passage(closed / "file", 4242)
    assert as_nobody("cat", str(closed / "file")).stdout == "content"
    assert as_nobody("ls", str(closed.parent)).returncode != 0, "it may pass, not look"
    assert stat.S_IMODE(closed.parent.stat().st_mode) & 0o007 == 0, "nobody else may"


def test_what_lies_in_a_directory_that_is_shown_is_not_shown_again(closed: Path) -> None:
    view = plan_view(closed.parents[1], [closed, closed / "file"], [])
    assert view.readable == [str(closed)]
