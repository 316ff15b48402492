"""The few steps between the agent's fork and the engine: run as a program of its own, it becomes the engine.

`python -m aicp.agent.launcher` reads a LaunchPlan as JSON from standard input. Standard library only; it writes down
its own pid before it becomes the engine, so an agent that dies at any moment finds its engines again. It does not ask
the kernel to be killed with its parent: engines outlive the agent on purpose.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NoReturn

from aicp.agent.confinement import View, enter
from aicp.telemetry.processes import identify

CANNOT_START = 126
NOT_FOUND = 127
_PR_SET_NO_NEW_PRIVS = 38
_FIRST_TO_DIE = 500  # above the platform's own processes when the kernel must free memory


@dataclass(frozen=True, slots=True)
class LaunchPlan:
    """What to become. `identity_file` gets pid, start time and `token_digest`; `join` are files that take the own pid
    (cgroups)."""

    command: list[str]
    env: dict[str, str]
    directory: str
    identity_file: str
    token_digest: str
    join: list[str] = field(default_factory=list[str])
    user_id: int | None = None
    group_id: int | None = None
    view: View | None = None

    def as_json(self) -> bytes:
        """For the launcher's standard input."""
        return json.dumps(asdict(self)).encode()


def read_plan(text: bytes) -> LaunchPlan:
    """The way back from `as_json`."""
    fields = json.loads(text)
    if fields["view"] is not None:
        fields["view"] = View(**fields["view"])
    return LaunchPlan(**fields)


def main() -> NoReturn:
    """Carries the plan out; on failure explains itself in the log and exits with 126 or 127."""
    plan = read_plan(sys.stdin.buffer.read())
    try:
        become(plan)
    except FileNotFoundError as error:
        explain(f"{error.filename or plan.command[0]} does not exist", NOT_FOUND)
    except OSError as error:
        explain(f"{error.strerror}: {error.filename or plan.command[0]}", CANNOT_START)


def become(plan: LaunchPlan) -> NoReturn:
    """Joins its groups, drops every right it does not need, and becomes the engine. Raises OSError."""
    for path in plan.join:
        _write(path, str(os.getpid()))
    _write_identity(Path(plan.identity_file), plan.token_digest)
    if plan.view is not None:
        enter(plan.view)
    _write("/proc/self/oom_score_adj", str(_FIRST_TO_DIE))
    _limit_resources()
    if plan.user_id is not None and plan.group_id is not None:
        os.setgroups([])
        os.setresgid(plan.group_id, plan.group_id, plan.group_id)
        os.setresuid(plan.user_id, plan.user_id, plan.user_id)
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    os.umask(0o077)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    os.chdir(plan.directory)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.execve(plan.command[0], plan.command, plan.env)


def explain(problem: str, code: int) -> NoReturn:
    """Says in the log why nothing was started."""
    os.write(2, f"aicp: the engine could not be started: {problem}\n".encode())
    os._exit(code)


def _write(path: str, text: str) -> None:
    # os.write, not open().write(): the kernel's refusal must not hide in a buffer that is flushed later
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _write_identity(path: Path, token_digest: str) -> None:
    identity = identify(os.getpid())
    assert identity is not None
    unfinished = path.with_suffix(".new")
    unfinished.write_text(json.dumps(identity.as_json() | {"token_sha256": token_digest}))
    unfinished.replace(path)


def _limit_resources() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


if __name__ == "__main__":
    main()
