"""The platform's processes as the supervisor sees them: started, taken over, watched, started again, stopped."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aicp.telemetry.log_files import LogFile
from aicp.telemetry.processes import ProcessIdentity, identify, read_identity, wait_for_end

SETTINGS_ERROR = 78  # EX_CONFIG of sysexits.h: starting again would not help
_STEADY_SECONDS = 10.0
_PAUSES = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
_READY_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class ChildPlan:
    """One process. `listens` is (host, port) or a unix socket's path; `grace_seconds` is how long a stop may take.

    `leave_signal` ends it for a successor with other settings.
    """

    name: str
    command: tuple[str, ...]
    listens: tuple[str, int] | Path
    grace_seconds: float
    leave_signal: signal.Signals = signal.SIGTERM


class Child:
    """Keeps one process running. `say` gets what a person at the terminal should read."""

    def __init__(
        self, plan: ChildPlan, data_dir: Path, variables: Mapping[str, str], digest: str, say: Callable[[str], None]
    ) -> None:
        self.plan = plan
        self.log = LogFile(data_dir / "logs" / f"{plan.name}.log")
        self._record = data_dir / "run" / f"{plan.name}.json"
        self._variables = variables
        self._digest = digest
        self._say = say
        self._identity: ProcessIdentity | None = None
        self._started: subprocess.Popen[bytes] | None = None
        self._stopping = False

    async def take_over(self) -> bool:
        """Takes a live process of a dead supervisor; one with other settings is asked to leave first."""
        record = _read(self._record)
        identity = read_identity(record)
        if identity is None or not identity.alive():
            return False
        if record.get("settings") == self._digest:
            self._identity = identity
            self._say(f"{self.plan.name} goes on (pid {identity.pid})")
            return True
        self._say(f"{self.plan.name} runs with other settings and is started anew")
        await _end(identity, self.plan.leave_signal, self.plan.grace_seconds)
        return False

    async def keep_running(self) -> str:
        """Starts the process and starts it again whenever it ends; returns why that is hopeless."""
        ends_in_a_row = 0
        clock = asyncio.get_running_loop().time
        while True:
            began = clock()
            code = await self._run_once()
            if self._stopping:
                return ""
            if code == SETTINGS_ERROR:
                return f"{self.plan.name} cannot run:\n{self.log.tail(12).rstrip()}"
            ends_in_a_row = 1 if clock() - began > _STEADY_SECONDS else ends_in_a_row + 1
            pause = _PAUSES[min(ends_in_a_row - 1, len(_PAUSES) - 1)]
            self._say(f"{self.plan.name} {_how(code)}; started again{f' in {pause:g} s' if pause else ''}")
            if ends_in_a_row == 3:
                self._say(f"the last lines of {self.log.path}:\n{self.log.tail(12).rstrip()}")
            await asyncio.sleep(pause)

    async def wait_until_ready(self) -> None:
        """Returns once the process accepts connections."""
        while True:
            if _accepts(self.plan.listens):
                return
            await asyncio.sleep(_READY_POLL_SECONDS)

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL after the grace."""
        self._stopping = True
        if self._identity is not None:
            ended = await _end(self._identity, signal.SIGTERM, self.plan.grace_seconds)
            if not ended:
                self._say(f"{self.plan.name} did not stop within {self.plan.grace_seconds:.0f} s and was killed")
        if self._started is not None:
            self._started.wait()
        self._record.unlink(missing_ok=True)

    async def _run_once(self) -> int | None:
        """Starts the process unless it runs, and waits for its end; the exit code where it is known."""
        if self._identity is None:
            try:
                self._start()
            except OSError as error:
                self._say(f"{self.plan.name} cannot be started: {error}")
                return None
        return await self._wait()

    def _start(self) -> None:
        output = self.log.open()
        try:
            self._started = subprocess.Popen(
                self.plan.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=dict(self._variables),
                start_new_session=True,
            )
        finally:
            os.close(output)
        self._identity = identify(self._started.pid)
        if self._identity is not None:
            with suppress(OSError):  # a full disk: it runs, only a next supervisor could not take it over
                write_private(self._record, json.dumps(self._identity.as_json() | {"settings": self._digest}))

    async def _wait(self) -> int | None:
        if self._identity is not None:
            await wait_for_end(self._identity)
        code = self._started.wait() if self._started is not None else None
        self._identity = self._started = None
        return code


def write_private(path: Path, text: str) -> None:
    """Replaces a file in one step, mode 0600."""
    unfinished = path.with_name(f".{path.name}.new")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    unfinished.replace(path)


async def _end(identity: ProcessIdentity, number: signal.Signals, grace_seconds: float) -> bool:
    """Whether it ended within its grace; afterwards it is gone either way."""
    with suppress(ProcessLookupError):
        if identity.alive():
            os.kill(identity.pid, number)
    try:
        await asyncio.wait_for(wait_for_end(identity), grace_seconds)
    except TimeoutError:
        with suppress(ProcessLookupError):
            os.kill(identity.pid, signal.SIGKILL)
        await wait_for_end(identity)
        return False
    return True


def _accepts(listens: tuple[str, int] | Path) -> bool:
    family = socket.AF_UNIX if isinstance(listens, Path) else socket.AF_INET6 if ":" in listens[0] else socket.AF_INET
    with socket.socket(family) as caller:
        caller.settimeout(0.2)
        with suppress(OSError):
            caller.connect(str(listens) if isinstance(listens, Path) else listens)
            return True
    return False


def _how(code: int | None) -> str:
    if code is None:
        return "ended"
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
