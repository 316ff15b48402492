"""Starting and stopping as commands see it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from aicp.cli.platform import _ended, _start_detached
from aicp.core.errors import InvalidError, UnavailableError


def test_a_process_that_nobody_has_waited_for_has_ended() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    process = psutil.Process(child.pid)
    assert not _ended(process)
    assert child.stdin is not None
    child.stdin.close()
    deadline = time.monotonic() + 30
    while not _ended(process):
        assert time.monotonic() < deadline
    child.wait()
    assert _ended(process)


def test_a_detached_start_that_fails_says_why_and_keeps_no_stream_of_the_caller(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UnavailableError):
        _start_detached(tmp_path, [sys.executable, "-c", "print('aicp: the port is taken')"])
    assert (tmp_path / "logs" / "up.log").read_text() == "aicp: the port is taken\n"
    told = capfd.readouterr()
    assert (told.out, told.err.count("the port is taken")) == ("", 1)


def test_a_data_directory_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidError, match="cannot be written"):
        _start_detached(tmp_path / "file", [sys.executable])
