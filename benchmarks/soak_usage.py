"""Usage rows counted exactly once while a gateway's process and the control plane are killed at random moments.

`make soak-usage` (ROWS=10000000) writes benchmarks/results/usage_rows.json. One process begins and ends requests in
the gateway's own usage log and ships them (gateway/usage_writer.py); the other is a whole control plane on SQLite. Both
are ended by kill -9 again and again and started anew. At the end every request of which the writer knows that it ended
is one row with its own tokens and cost, every other that it began is one row `interrupted`, and the sums by the hour,
which are kept apart from the rows, agree for every key.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src"), str(ROOT / "benchmarks")]

from gateway.usage_writer import tokens_of
from report import write

_CONTROL = """
import os
from aicp.main import control
from aicp.main.settings import environment, load_settings
control.FIRST_LOOK_SECONDS = 0.1  # there is no agent to look at
raise SystemExit(control.main(load_settings({}, environment())))
"""
_COUNTS = ("requests", "prompt_tokens", "completion_tokens", "cost_micros")
_REPORT_SECONDS = 60.0
_EARLY_SHARE = 0.2
NOTE = (
    "Each side lives for a random time and is ended by kill -9. `undecided` are requests that were under the hands of "
    "the log in the very moment: they may be there or not, finished or not, and never twice. At most two for each kill."
)


@dataclass
class Lives:
    """A process that is killed and started again until it ends by itself, or until it is told to stop."""

    start: Callable[[], subprocess.Popen[bytes]]
    ready: Callable[[], bool]
    seconds: tuple[float, float]
    """How long it lives from when it was ready on; of one in five, from its start on."""
    most: float = math.inf
    """After so many kills it is left alive."""
    kills: int = 0
    failure: str = ""
    done: threading.Event = field(default_factory=threading.Event)
    stop: threading.Event = field(default_factory=threading.Event)
    mercy: threading.Event = field(default_factory=threading.Event)
    """It is not killed any more."""

    def live(self, chance: random.Random) -> None:
        """One life after the other."""
        while not self.stop.is_set():
            process, early = self.start(), chance.random() < _EARLY_SHARE
            while not (early or self.ready() or process.poll() is not None or self.stop.is_set()):
                time.sleep(0.05)
            until = time.monotonic() + chance.uniform(*self.seconds)
            while process.poll() is None and not self.stop.is_set():
                if time.monotonic() > until and self.kills < self.most and not self.mercy.is_set():
                    process.kill()
                    process.wait()
                    self.kills += 1
                    break
                time.sleep(0.02)
            else:
                if self.stop.is_set():
                    process.kill()
                    process.wait()
                elif process.returncode == 0:
                    self.done.set()
                    return
                else:
                    self.failure = f"it ended by itself with {process.returncode}"
                    self.done.set()
                    return


@dataclass(frozen=True)
class Soak:
    """Both processes on one directory."""

    directory: Path
    rows: int
    port: int

    @property
    def environment(self) -> dict[str, str]:
        """Of both."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AICP_")}
        path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
        ours = {"AICP_DATA_DIR": str(self.directory / "data"), "AICP_PORT": str(self.port), "AICP_LOG_LEVEL": "error"}
        return {**kept, **ours, "PYTHONPATH": path}

    def control(self) -> subprocess.Popen[bytes]:
        """A control plane."""
        with (self.directory / "control.log").open("ab") as log:
            return subprocess.Popen([sys.executable, "-c", _CONTROL], env=self.environment, stdout=log, stderr=log)

    def writer(self, rows: int | None = None) -> subprocess.Popen[bytes]:
        """A gateway's log, up to request `rows`."""
        program = [
            sys.executable,
            str(ROOT / "benchmarks" / "gateway" / "usage_writer.py"),
            str(self.directory / "log"),
        ]
        program += [f"http://127.0.0.1:{self.port}", self.token, str(self.rows if rows is None else rows)]
        (self.directory / "log" / "began").unlink(missing_ok=True)
        with (self.directory / "writer.log").open("ab") as log:
            return subprocess.Popen(program, env=self.environment, stdout=log, stderr=log)

    @property
    def token(self) -> str:
        """That control has made."""
        return (self.directory / "data" / "run" / "internal.token").read_text().strip()

    @property
    def database(self) -> Path:
        """Where the rows are."""
        return next(path for path in (self.directory / "data" / "db").iterdir() if path.suffix == ".sqlite")

    def truth(self) -> bytes:
        """What returned, a byte for each request."""
        return (self.directory / "log" / "truth").read_bytes()

    def control_answers(self) -> bool:
        """Whether it takes connections."""
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def wait_for_control(self) -> None:
        """Until it has answered once. Raises TimeoutError."""
        until = time.monotonic() + 120
        while time.monotonic() < until:
            if self.control_answers():
                return
            time.sleep(0.1)
        raise TimeoutError((self.directory / "control.log").read_text()[-2000:])


def soak(
    directory: Path,
    rows: int,
    *,
    seed: int = 1,
    minutes: float = 1e6,
    lives: tuple[tuple[float, float], tuple[float, float]] = ((1.0, 12.0), (6.0, 40.0)),
    most_kills: tuple[float, float] = (math.inf, math.inf),
    tell: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """The figures; `lives` and `most_kills`: of the gateway, of control. Raises AssertionError for a wrong row."""
    (directory / "log").mkdir()
    with (directory / "log" / "truth").open("wb") as file:
        file.truncate(rows)
    run = Soak(directory, rows, _free_port())
    began = time.monotonic()
    control = Lives(run.control, run.control_answers, lives[1], most_kills[1])
    writer = Lives(run.writer, (directory / "log" / "began").exists, lives[0], most_kills[0])
    threads = [threading.Thread(target=control.live, args=(random.Random(seed),), daemon=True)]
    threads[0].start()
    try:
        run.wait_for_control()
        threads.append(threading.Thread(target=writer.live, args=(random.Random(seed + 1),), daemon=True))
        threads[1].start()
        _watch(run, writer, control, began + minutes * 60, tell)
        if not writer.done.is_set():  # the time is over: what is on disk is shipped, and nothing more is begun
            writer.stop.set()
            threads[1].join()
            last = max(run.truth().rfind(b"\1"), run.truth().rfind(b"\2"))
            control.mercy.set()
            assert run.writer(min(last + 2, rows)).wait(1800) == 0, (directory / "writer.log").read_text()[-2000:]
    finally:
        writer.stop.set()
        control.stop.set()
        for thread in threads:
            thread.join()
    seconds = time.monotonic() - began
    assert not writer.failure, f"the writer: {writer.failure}"
    assert not control.failure, f"control: {control.failure}"
    figures = check(run, writer.kills)
    rate = round(figures["rows"] / seconds)
    return {
        **figures,
        "kills": {"gateway": writer.kills, "control": control.kills},
        "seconds": round(seconds),
        "rows_per_second": rate,
    }


def _watch(run: Soak, writer: Lives, control: Lives, until: float, tell: Callable[[str], None]) -> None:
    """Returns when the writer is done, one has failed, or the time is over."""
    told = time.monotonic()
    while not writer.done.wait(0.1) and not control.failure and time.monotonic() < until:
        if time.monotonic() - told > _REPORT_SECONDS:
            told = time.monotonic()
            tell(f"{run.truth().count(2)} ended; kills: gateway {writer.kills}, control {control.kills}")


def check(run: Soak, kills: int) -> dict[str, Any]:
    """Every row of the store against what the writer knows. Raises AssertionError."""
    truth = run.truth()
    outcomes: Counter[str] = Counter()
    sums: dict[str, list[int]] = {}
    seen, undecided = bytearray(len(truth)), 0
    for name, key, outcome, *counts in _rows(run.database):
        number = int(name.removeprefix("soak-"))
        assert not seen[number], f"{name} is there twice"
        seen[number] = 1
        expected = list(tokens_of(number)) if outcome == "ok" else [None] * 3
        assert counts == expected, f"{name} ({outcome}) has {counts} and not {expected}"
        assert outcome == "ok" or truth[number] != 2, f"{name} has ended and is counted as {outcome}"
        undecided += truth[number] == 0 or (truth[number] == 1 and outcome == "ok")
        outcomes[outcome] += 1
        own = sums.setdefault(key, [0, 0, 0, 0])
        for place, value in enumerate((1, *counts)):
            own[place] += value or 0
    missing = [number for number, state in enumerate(truth) if state and not seen[number]]
    assert not missing, f"{len(missing)} requests have left no row, the first is soak-{missing[0]}"
    assert undecided <= 2 * kills, f"{undecided} requests are not what the writer knows of them, after {kills} kills"
    assert sums == _hours(run.database), "the sums by the hour are not those of the rows"
    return {
        "rows": sum(outcomes.values()),
        "outcomes": dict(outcomes),
        "undecided": undecided,
        "missing": 0,
        "counted_twice": 0,
        "sums": dict(zip(_COUNTS, map(sum, zip(*sums.values(), strict=True)), strict=True)),
        "batches": _one(run.database, "SELECT count(*) FROM usage_batches"),
        "database_bytes": run.database.stat().st_size,
    }


def _rows(database: Path) -> Iterator[tuple[Any, ...]]:
    columns = "request_id, api_key_id, outcome, prompt_tokens, completion_tokens, cost_micros"
    with sqlite3.connect(database) as connection:
        yield from connection.execute(f"SELECT {columns} FROM usage_records")


def _hours(database: Path) -> dict[str, list[int]]:
    columns = ", ".join(f"sum({name})" for name in _COUNTS)
    with sqlite3.connect(database) as connection:
        rows = connection.execute(f"SELECT api_key_id, {columns} FROM usage_hours GROUP BY api_key_id")
        return {key: list(counts) for key, *counts in rows}


def _one(database: Path, query: str) -> int:
    with sqlite3.connect(database) as connection:
        return int(connection.execute(query).fetchone()[0])


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def main() -> int:
    """1 when a row is missing, double or wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--minutes", type=float, default=1e6, help="begin no more requests after that")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="aicp-soak-") as directory:
        figures = soak(
            Path(directory),
            options.rows,
            seed=options.seed,
            minutes=options.minutes,
            tell=lambda line: print(line, flush=True),
        )
    write("usage_rows", {"asked_for": options.rows, "seed": options.seed, **figures, "note": NOTE}, ["sqlalchemy"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
