"""Log files that somebody else writes."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

from aicp.telemetry.log_files import LogFile


def test_the_writer_goes_on_after_a_rotation(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "x.log", limit_bytes=100, keep=2)
    writer = log.open()
    assert not log.rotate(), "an empty file is not rotated"
    for number in range(5):
        os.write(writer, f"line {number} {'x' * 120}\n".encode())
        assert log.rotate()
    os.write(writer, b"last\n")
    os.close(writer)
    assert log.path.read_text() == "last\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.log", "x.log.1", "x.log.2"]
    assert log.path.with_name("x.log.1").read_text().startswith("line 4")
    assert stat.S_IMODE(log.path.stat().st_mode) == 0o600


def test_tail_reaches_back_into_rotated_files(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "x.log", limit_bytes=10)
    assert log.tail(5) == ""
    for number in range(30):
        log.note(f"line {number}")
        if number in (9, 19):
            log.rotate()
    assert log.tail(3) == "aicp: line 27\naicp: line 28\naicp: line 29\n"
    assert log.tail(12).splitlines()[0] == "aicp: line 18"
    assert len(log.tail(1000).splitlines()) == 30
    assert log.tail(0) == ""


def test_tail_of_lines_longer_than_a_block_and_without_an_end(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "x.log")
    log.path.write_text("a" * 200_000 + "\n" + "b" * 200_000 + "\nunfinished")
    assert log.tail(2) == "b" * 200_000 + "\nunfinished"


async def test_follow_survives_rotation_and_ends_with_the_writer(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "x.log", limit_bytes=1)
    log.note("before")
    ended = False
    seen: list[str] = []

    async def read() -> None:
        async for piece in log.follow(lambda: ended, interval_seconds=0.005):
            seen.append(piece)

    reader = asyncio.create_task(read())
    for number in range(3):
        await asyncio.sleep(0.02)
        log.note(f"line {number}")
        await asyncio.sleep(0.02)
        log.rotate()
    log.note("the end")
    ended = True
    await asyncio.wait_for(reader, 5)
    assert "".join(seen) == "".join(f"aicp: {text}\n" for text in ("line 0", "line 1", "line 2", "the end"))
