"""The platform's processes as the supervisor sees them: started, taken over, watched, started again, stopped."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aicp.main.succession import ReadyPipe
from aicp.telemetry.log_files import LogFile
from aicp.telemetry.processes import ProcessIdentity, identify, read_identity, wait_for_end

SETTINGS_ERROR = 78  # EX_CONFIG of sysexits.h: starting again would not help
_STEADY_SECONDS = 10.0
_PAUSES = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
_READY_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class ChildPlan:
    """One process. `listens` is (host, port) or a unix socket's path; `grace_seconds` is how long a stop may take.

    `leave_signal` ends it for a successor with other settings. `hands_over`: a successor takes its sockets while it
    runs, and it ends by itself.
    """

    name: str
    command: tuple[str, ...]
    listens: tuple[str, int] | Path
    grace_seconds: float
    leave_signal: signal.Signals = signal.SIGTERM
    hands_over: bool = False


@dataclass(frozen=True, slots=True)
class _Leaving:
    """A process that another one took over from, and the file that tells a next supervisor of it."""

    identity: ProcessIdentity
    started: subprocess.Popen[bytes] | None
    record: Path


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
        self._renew = False
        """What runs has other settings and is to be taken over from."""
        self._replaced = asyncio.Event()
        self._succession = asyncio.Lock()
        self._fresh: subprocess.Popen[bytes] | None = None
        """The process that is about to take over."""
        self._leaving: list[_Leaving] = []
        self._farewells: set[asyncio.Task[None]] = set()

    async def take_over(self) -> bool:
        """Takes a live process of a dead supervisor; one with other settings is asked to leave first."""
        self._find_leaving()
        record = _read(self._record)
        identity = read_identity(record)
        if identity is None or not identity.alive():
            if self.plan.hands_over and self._leaving:
                # its successor died before it served: this one may serve still, and is taken over from
                self._identity, self._renew = self._leaving[-1].identity, True
                return True
            return False
        if record.get("settings") == self._digest:
            self._identity = identity
            self._say(f"{self.plan.name} goes on (pid {identity.pid})")
            return True
        if self.plan.hands_over:
            self._identity, self._renew = identity, True
            return True
        self._say(f"{self.plan.name} runs with other settings or of another version and is started anew")
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

    async def replace(self) -> str:
        """Has a new process take over from the running one, whose requests end there; empty, or why it goes on."""
        async with self._succession:
            former = self._identity
            if former is None or self._stopping:
                return f"{self.plan.name} does not run at the moment."
            try:
                return await self._replace(former, self._started)
            finally:
                self._fresh = None

    async def _replace(self, former: ProcessIdentity, started: subprocess.Popen[bytes] | None) -> str:
        name, pipe = self.plan.name, ReadyPipe()
        try:
            fresh = self._fresh = self._spawn(pipe.variables(former.pid), (pipe.write,))
            pipe.given()
            identity = identify(fresh.pid)
            # written before it serves: a next supervisor must know of both, whatever becomes of this one
            leaving = _Leaving(former, started, self._record.with_name(f"{name}.{former.pid}.json"))
            self._note(former, leaving.record)
            if identity is not None:
                self._note(identity, self._record)
            heard = await pipe.heard()
        except OSError as error:
            return f"No new {name} can be started: {error}."
        finally:
            pipe.close()
        if not heard or identity is None or self._stopping:
            fresh.kill()
            fresh.wait()
            self._note(former, self._record)
            leaving.record.unlink(missing_ok=True)
            return f"The new {name} does not serve, and the present one goes on:\n{self.log.tail(6).rstrip()}"
        self._identity, self._started = identity, fresh
        self._replaced.set()
        self._let_leave(leaving)
        self._say(f"{name} was taken over by a new process (pid {former.pid} -> {identity.pid})")
        return ""

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL after the grace."""
        self._stopping = True
        if self._fresh is not None:
            self._fresh.terminate()
        left = [_end(one.identity, signal.SIGTERM, self.plan.grace_seconds) for one in self._leaving]
        await asyncio.gather(*left, *(() if self._identity is None else (self._stop_present(self._identity),)))
        await asyncio.gather(*self._farewells)
        if self._started is not None:
            self._started.wait()
        self._record.unlink(missing_ok=True)

    async def _stop_present(self, identity: ProcessIdentity) -> None:
        if not await _end(identity, signal.SIGTERM, self.plan.grace_seconds):
            self._say(f"{self.plan.name} did not stop within {self.plan.grace_seconds:.0f} s and was killed")

    def _let_leave(self, leaving: _Leaving) -> None:
        self._leaving.append(leaving)
        farewell = asyncio.create_task(self._farewell(leaving))
        self._farewells.add(farewell)
        farewell.add_done_callback(self._farewells.discard)

    async def _farewell(self, leaving: _Leaving) -> None:
        """A process that was taken over from ends when its last request has."""
        await wait_for_end(leaving.identity)
        if leaving.started is not None:
            leaving.started.wait()
        self._leaving.remove(leaving)
        leaving.record.unlink(missing_ok=True)

    def _find_leaving(self) -> None:
        """Processes that leave since the time of an earlier supervisor."""
        for record in self._record.parent.glob(f"{self.plan.name}.*.json"):
            identity = read_identity(_read(record))
            if identity is not None and identity.alive():
                self._let_leave(_Leaving(identity, None, record))
            else:
                record.unlink(missing_ok=True)

    async def _renewed(self) -> None:
        """What runs with other settings is taken over from, or ended where that fails."""
        problem, former = await self.replace(), self._identity
        if problem and former is not None and not self._stopping:
            self._say(f"{problem}\n{self.plan.name} is ended and started anew")
            await _end(former, self.plan.leave_signal, self.plan.grace_seconds)

    async def _run_once(self) -> int | None:
        """Starts the process unless it runs, and waits for its end; the exit code where it is known."""
        if self._identity is None:
            try:
                self._start()
            except OSError as error:
                self._say(f"{self.plan.name} cannot be started: {error}")
                return None
        if self._renew:
            self._renew = False
            await self._renewed()
        return await self._wait()

    def _start(self) -> None:
        self._started = self._spawn({}, ())
        self._identity = identify(self._started.pid)
        if self._identity is not None:
            self._note(self._identity, self._record)

    def _note(self, identity: ProcessIdentity, record: Path) -> None:
        with suppress(OSError):  # a full disk: it runs, only a next supervisor could not take it over
            write_private(record, json.dumps(identity.as_json() | {"settings": self._digest}))

    def _spawn(self, more: Mapping[str, str], descriptors: tuple[int, ...]) -> subprocess.Popen[bytes]:
        output = self.log.open()
        try:
            return subprocess.Popen(
                self.plan.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**self._variables, **more},
                start_new_session=True,
                pass_fds=descriptors,
            )
        finally:
            os.close(output)

    async def _wait(self) -> int | None:
        """Until the process that serves has ended; one that was taken over from is none of them."""
        while self._identity is not None:
            watched = self._identity
            self._replaced.clear()
            waits = [asyncio.create_task(wait_for_end(watched)), asyncio.create_task(self._replaced.wait())]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
            async with self._succession:  # one that is just taken over from may end before that is done
                if self._identity is watched:
                    break
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


async def end_unplanned(folder: Path, pattern: str, names: Collection[str], say: Callable[[str], None]) -> None:
    """Ends processes that an earlier supervisor had more of; `names` are those that there shall be."""
    for record in folder.glob(pattern):
        name = record.name.split(".")[0]
        identity = read_identity(_read(record))
        if name in names:
            continue
        if identity is not None and identity.alive():
            say(f"{name} is not wanted any more and ends")
            await _end(identity, signal.SIGTERM, 20.0)
        record.unlink(missing_ok=True)


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
