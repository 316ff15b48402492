"""What the sections share: engines and gateways side by side, and figures of several rounds."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.doors import DOORS, Door
from gateway.programs import Engine, Programs
from report import quartiles, spread

_QUIET_SHARE = 0.05
_LOOK_SECONDS = 0.25
_SETTLE_SECONDS = 20.0


@dataclass(frozen=True)
class Ground:
    """Where all sections measure. `rounds` is how often each side is measured, at least 2."""

    programs: Programs
    peers: Path
    rounds: int

    @contextmanager
    def stage(self, *names: str, direct: bool = False) -> Iterator[tuple[Engine, list[Door]]]:
        """Fresh engines, and before them the gateways of these names, and the engine as a door of its own if wanted."""
        with ExitStack() as stack:
            engine = stack.enter_context(self.programs.engine())
            doors = [Door("direct", engine.ports[0], "none")] if direct else []
            for name in names:
                # short: sockets lie below it
                directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="aicp-bench-")))
                doors.append(stack.enter_context(DOORS[name](directory, engine.ports, environment=self.peers)))
            yield engine, doors

    def alternate(self, doors: Sequence[Door], burst: Callable[[Door], dict[str, Any]]) -> dict[str, list[Any]]:
        """The results of `burst` by the door's name: every door in every round, each first as often as the others.

        One more round before them warms everything up and is thrown away. Processor time, `cpu_seconds` and
        its part `kernel_seconds`, is added; it contains what a door does behind its answers, so nothing of that falls
        into another one's burst.
        """
        results: dict[str, list[Any]] = {door.name: [] for door in doors}
        for number in range(-1, self.rounds):
            first = number % len(doors)
            for door in (*doors[first:], *doors[:first]):
                all_before, kernel_before = door.cpu_seconds(), door.kernel_seconds()
                result = burst(door)
                _settle(door)
                spent = {
                    "cpu_seconds": door.cpu_seconds() - all_before,
                    "kernel_seconds": door.kernel_seconds() - kernel_before,
                }
                if number >= 0:
                    results[door.name].append({**result, **spent})
        return results


def _settle(door: Door) -> None:
    """Returns when the door has nothing more to do."""
    until = time.monotonic() + _SETTLE_SECONDS
    while door.pid is not None and time.monotonic() < until:
        before = door.cpu_seconds()
        time.sleep(_LOOK_SECONDS)
        if door.cpu_seconds() - before < _QUIET_SHARE * _LOOK_SECONDS:
            return


def figure(values: Sequence[float]) -> dict[str, Any]:
    """Median, quartiles, least, most and the single values."""
    return {**spread(values), **quartiles(values)}


def by_door(results: dict[str, list[Any]], value: Callable[[Any], float]) -> dict[str, Any]:
    """A figure of every door."""
    return {name: figure([value(one) for one in found]) for name, found in results.items()}


def compare(
    ours: Sequence[Any], other: Sequence[Any], value: Callable[[Any], float], *, difference: bool = False
) -> dict[str, Any]:
    """Ours through the other's, or minus it, of the same rounds."""
    pairs = [(value(a), value(b)) for a, b in zip(ours, other, strict=True)]
    return figure([a - b if difference else a / b for a, b in pairs])
