"""The usage log: whatever happens to the process or its disk, a request counts once."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aicp.core.usage import UsageRecord
from aicp.gateway.record import Record
from aicp.gateway.usage import UsageLog, closed_records, orphans, segments

START = datetime(2026, 1, 1, tzinfo=UTC)
STEPS = st.lists(
    st.one_of(
        st.just(("begin", 0)),
        st.tuples(st.just("end"), st.integers(0, 5)),
        st.just(("seal", 0)),
        st.just(("ship", 0)),
        st.just(("ship, and the answer is lost", 0)),
        st.just(("kill", 0)),
    ),
    max_size=60,
)


def record(name: str, outcome: str = "interrupted") -> Record:
    return Record(name, "key_1", "default", "demo", "/v1/chat/completions", False, START, outcome=outcome)


class Run:
    """A gateway's log, and a control plane that counts every (sequence) once."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = UsageLog(directory, segment_bytes=600)
        self.running: list[str] = []
        self.ended: set[str] = set()
        self.begun = 0
        self.counted: dict[int, list[bytes]] = {}

    def step(self, action: str, number: int) -> None:
        """Does what can be done."""
        if action == "begin":
            self.begun += 1
            name = f"req_{self.begun}"
            self.log.begin(record(name))
            self.running.append(name)
        elif action == "end" and self.running:
            name = self.running.pop(number % len(self.running))
            self.log.end(record(name, "ok"))
            self.ended.add(name)
        elif action == "seal":
            self.log.seal()
        elif action.startswith("ship"):
            self.ship(lost="lost" in action)
        elif action == "kill":
            self.restart()

    def ship(self, *, lost: bool = False) -> None:
        """Ships the sealed segments; when the answer is lost they stay."""
        for number, path in segments(self.directory):
            if number < self.log.number:
                self.counted.setdefault(number, closed_records(path.read_bytes()))
                if not lost:
                    path.unlink()

    def restart(self) -> None:
        """A new process on the same directory; the one before was killed and has ended nothing."""
        self.running.clear()
        self.log = UsageLog(self.directory, segment_bytes=600)

    def finish(self) -> dict[str, str]:
        """Outcome by request once everything was shipped. Fails when one counts twice."""
        self.restart()
        self.log.seal()
        self.ship()
        self.log.close()
        rows = [UsageRecord.model_validate_json(line) for lines in self.counted.values() for line in lines]
        counts = Counter(row.request_id for row in rows)
        assert not [name for name, count in counts.items() if count > 1]
        return {row.request_id: row.outcome.value for row in rows}


@given(STEPS)
@settings(max_examples=150, deadline=None)
def test_kills_at_any_time_lose_and_double_nothing(steps: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder))
        for action, number in steps:
            run.step(action, number)
        outcomes = run.finish()
    names = {f"req_{number + 1}" for number in range(run.begun)}
    assert outcomes == {name: "ok" if name in run.ended else "interrupted" for name in names}


@given(STEPS, st.floats(0, 1), st.binary(max_size=40))
@settings(max_examples=150, deadline=None)
def test_a_power_loss_takes_the_end_of_the_log_and_nothing_else(
    steps: list[tuple[str, int]], left: float, garbage: bytes
) -> None:
    """Whatever prefix of the last segment survives, and whatever stands behind it."""
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder))
        for action, number in steps:
            run.step(action, number)
        _, last = segments(Path(folder))[-1]
        content = last.read_bytes().rstrip(b"\0")
        kept = content[: int(len(content) * left)]
        others = [path.read_bytes() for number, path in segments(Path(folder)) if path != last]
        last.write_bytes(kept + garbage.replace(b"\n", b""))
        outcomes = run.finish()
    shipped = {json.loads(line)["request_id"] for lines in run.counted.values() for line in lines}
    on_disk = {json.loads(line)["request_id"] for line in orphans([*others, kept])}
    assert on_disk | shipped == set(outcomes)
    for name, outcome in outcomes.items():
        assert outcome == "interrupted" or name in run.ended


def test_a_segment_with_damage_in_its_middle_gives_its_other_records(tmp_path: Path) -> None:
    log = UsageLog(tmp_path)
    for number in range(3):
        log.begin(record(f"req_{number}"))
        log.end(record(f"req_{number}", "ok"))
    log.close()
    _, path = segments(tmp_path)[-1]
    lines = path.read_bytes().split(b"\n")
    lines[3] = b"\x00" * 50
    path.write_bytes(b"\n".join(lines))
    assert [json.loads(line)["request_id"] for line in closed_records(path.read_bytes())] == ["req_0", "req_2"]
    assert [json.loads(line)["request_id"] for line in orphans([path.read_bytes()])] == ["req_1"]


def test_the_log_is_for_its_owner_only(tmp_path: Path) -> None:
    UsageLog(tmp_path).close()
    assert {path.stat().st_mode & 0o777 for _, path in segments(tmp_path)} == {0o600}


def test_a_directory_that_cannot_be_written_is_a_problem_and_no_crash(tmp_path: Path) -> None:
    (tmp_path / "usage-00000001.log").mkdir()
    log = UsageLog(tmp_path / "absent")
    assert log.problem is not None
    with pytest.raises(OSError, match="absent"):
        log.begin(record("req_1"))
    (tmp_path / "absent").mkdir()
    log.begin(record("req_1"))
    assert log.problem is None
    log.close()
