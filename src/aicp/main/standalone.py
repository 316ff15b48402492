"""Keeps a gateway without a platform: starts it, has a new process take over from it, and ends with it.

Small, and the one process that a service manager, a container or a terminal sees: its pid stays the same over restarts.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from pathlib import Path

from aicp.main.settings import environment
from aicp.main.succession import ReadyPipe


def main(arguments: list[str]) -> int:
    """Runs until a signal, or until the gateway ends; the gateway's exit status."""
    return asyncio.run(Keeper(Path(arguments[0]).absolute(), environment()).run())


class Keeper:
    """Looks after the gateway of one file."""

    def __init__(self, file: Path, variables: Mapping[str, str]) -> None:
        self._command = (sys.executable, "-m", "aicp.main.standalone_gateway", str(file), str(os.getpid()))
        self._variables = variables
        self._stop = asyncio.Event()
        self._wanted = asyncio.Event()
        """Another process shall take over."""
        self._leaving: set[Process] = set()

    async def run(self) -> int:
        """The exit status of the process that served last."""
        loop = asyncio.get_running_loop()
        at_terminal = sys.stdin is not None and sys.stdin.isatty()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGUSR2, self._wanted.set)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            # a terminal that closes ends what runs in it; elsewhere it is the usual word for a restart
            loop.add_signal_handler(signal.SIGHUP, (self._stop if at_terminal else self._wanted).set)
        present = await self._spawn({}, ())
        while not self._stop.is_set() and present.returncode is None:
            if self._wanted.is_set():
                self._wanted.clear()
                present = await self._successor(present)
            await _first_of(self._stop.wait(), self._wanted.wait(), present.wait())
        for process in (present, *self._leaving):
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        status, *_ = await asyncio.gather(present.wait(), *(process.wait() for process in self._leaving))
        return status if status >= 0 else 128 - status

    async def _successor(self, present: Process) -> Process:
        """The process that serves from now on: a new one, or the present one where that fails."""
        self._leaving = {process for process in self._leaving if process.returncode is None}
        pipe = ReadyPipe()
        try:
            fresh = await self._spawn(pipe.variables(present.pid), (pipe.write,))
            pipe.given()
            heard = asyncio.ensure_future(pipe.heard())
            await _first_of(heard, self._stop.wait())
            if heard.done() and heard.result():
                self._leaving.add(present)
                return fresh
            if not self._stop.is_set():
                sys.stderr.write("aicp: the new process does not serve; the present one goes on\n")
            with suppress(ProcessLookupError):
                fresh.kill()
            await fresh.wait()
        except OSError as error:
            sys.stderr.write(f"aicp: no new process can be started: {error}\n")
        finally:
            pipe.close()
        return present

    async def _spawn(self, more: Mapping[str, str], descriptors: tuple[int, ...]) -> Process:
        # a session of its own: Ctrl-C reaches the keeper, which ends it in order
        return await asyncio.create_subprocess_exec(
            *self._command, env={**self._variables, **more}, pass_fds=descriptors, start_new_session=True
        )


async def _first_of(*waits: Awaitable[object]) -> None:
    """Returns when one of them has; the others are given up."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
