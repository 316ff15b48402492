"""`python -m aicp.runners.ray.bound PARENT RECORD COMMAND...`: becomes the node's agent, bound to who started it.

When the parent ends in whatever way, SIGHUP is sent: an agent then leaves its engines to the next one, which adopts
them. So a node whose Ray is started anew goes on serving. An agent that runs is asked to leave first.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from aicp.telemetry.processes import identify, read_identity

_PR_SET_PDEATHSIG = 1
_LEAVE_SECONDS = 30.0


def main() -> None:
    """Does not return unless the parent is gone already."""
    parent, record, command = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
    _take_over(record)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGHUP, 0, 0, 0)
    identity = identify(os.getpid())
    if identity is None or os.getppid() != parent:
        return
    unfinished = record.with_suffix(".new")
    unfinished.write_text(json.dumps(identity.as_json()))
    unfinished.replace(record)
    os.execv(command[0], command)


def _take_over(record: Path) -> None:
    """The agent of the record leaves; one that does not is killed: two agents on one node must not be."""
    with suppress(OSError, ValueError):
        former = read_identity(json.loads(record.read_text()))
        if former is None or not former.alive():
            return
        os.kill(former.pid, signal.SIGHUP)
        until = time.monotonic() + _LEAVE_SECONDS
        while former.alive() and time.monotonic() < until:
            time.sleep(0.05)
        if former.alive():
            os.kill(former.pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
