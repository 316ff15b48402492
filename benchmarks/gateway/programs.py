"""The benchmark's own programs: an engine and clients in C, compiled afresh, and processes pinned to a core."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.support.gateway_process import free_port

GATEWAY_CORE, LOAD_CORE = 0, 1
ENGINES = 8
MODEL = "mock"
_SOURCES = Path(__file__).parent
_END_SECONDS = 10.0


class Programs:
    """The compiled programs in `directory`, and bodies to send. Raises RuntimeError without a C compiler."""

    def __init__(self, directory: Path) -> None:
        compiler = shutil.which("cc")
        if compiler is None:
            raise RuntimeError("The benchmark's engine and clients are in C: install a C compiler (`cc`).")
        self.directory = directory
        for name in ("engine", "load"):
            subprocess.run([compiler, "-O2", "-o", directory / name, _SOURCES / f"{name}.c"], check=True)

    def load(self, kind: str, port: int, key: str, connections: int, amount: float, bodies: Path) -> dict[str, Any]:
        """One burst: `plain` for `amount` seconds, or `streams`, so many for each connection.

        Raises RuntimeError when a request fails.
        """
        command = [self.directory / "load", kind, str(port), key, str(connections), f"{amount:g}", bodies]
        process = start(command, LOAD_CORE, stdout=subprocess.PIPE)
        output, _ = process.communicate(timeout=120)
        if process.returncode != 0:
            raise RuntimeError(f"the {kind} load on port {port} ended with {process.returncode}")
        result: dict[str, Any] = json.loads(output)
        if result["errors"]:
            raise RuntimeError(f"{result['errors']} errors in the {kind} load on port {port}")
        return result

    @contextmanager
    def engine(self) -> Iterator[Engine]:
        """The stand-in engine for the time of the block."""
        ports = [free_port() for _ in range(ENGINES)]
        process = start([self.directory / "engine", *map(str, ports)], LOAD_CORE, stdout=subprocess.PIPE, bufsize=0)
        try:
            yield Engine(process, ports)
        finally:
            end(process)


class Engine:
    """One process that is `ENGINES` engines, each on a port of its own."""

    def __init__(self, process: subprocess.Popen[bytes], ports: Sequence[int]) -> None:
        self._process, self.ports = process, ports
        self._line()

    def closed_at(self, patience_seconds: float) -> float | None:
        """When a client left in the middle of an answer (monotonic seconds); None when none does for so long."""
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], patience_seconds)[0]:
            return None
        return int(self._line().removeprefix("closed ")) / 1e6

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().decode()


def start(
    command: Sequence[str | Path], core: int, *, environment: Mapping[str, str] | None = None, **options: Any
) -> subprocess.Popen[bytes]:
    """Starts a program on one core, in a session of its own, before other work where that is allowed."""
    environment = {**os.environ, **(environment or {})}
    pinned = ["taskset", "-c", str(core), *command]
    process = subprocess.Popen(pinned, env=environment, start_new_session=True, **options)
    _before_others(process.pid)
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends a program that `start` started."""
    process.terminate()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _before_others(pid: int) -> None:
    """Raises the priority of a session, so that other work on the machine disturbs the figures less.

    Where the kernel groups by session that is the group's, else the process's own. Needs privileges; goes without.
    """
    time.sleep(0.05)  # the session is made in the child
    with suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text("-20")
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, -20)


def chat_body(words: str, system: str = "You are a helpful assistant.", *, stream: bool = False) -> str:
    """One line of a file of bodies."""
    messages = [{"role": "system", "content": system}, {"role": "user", "content": words}]
    body: dict[str, Any] = {"model": MODEL, "messages": messages, "max_tokens": 16, "temperature": 0}
    return json.dumps({**body, "stream": True} if stream else body, separators=(",", ":")) + "\n"
