"""Progress without a terminal: a log that somebody can read."""

from __future__ import annotations

import pytest
from tests.support.clock import FakeClock

from aicp.cli import progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    fake = FakeClock()
    monkeypatch.setattr(progress, "SystemClock", lambda: fake)
    return fake


def test_steps_are_told_at_once_and_mere_numbers_now_and_then(clock: FakeClock, capsys: pytest.CaptureFixture[str]):
    with progress.progress_line("Starting demo") as report:
        for second in range(25):
            report(f"Loading: engine start {second} s", None)
            clock.advance(1)
        report("fetching (9.5 MiB of 1.2 GiB, 3 MiB/s)", 0.1)
        report("fetching (900 KiB of 1.2 GiB, 12.5 MiB/s)", 0.2)
        report("ready", None)
        report("ready", None)
    assert capsys.readouterr().err.splitlines() == [
        "Starting demo: Loading: engine start 0 s",
        "Starting demo: Loading: engine start 10 s",
        "Starting demo: Loading: engine start 20 s",
        "Starting demo: fetching (9.5 MiB of 1.2 GiB, 3 MiB/s)",
        "Starting demo: ready",
    ]
