"""Slices of NVIDIA devices by the driver's Multi-Process Service: it caps active threads and device memory.

Every device has a control daemon and a pipe directory of its own, so that a fault, which ends every client of a
server, stays on one device. Written after NVIDIA's documentation of MPS (environment variables and commands of
nvidia-cuda-mps-control) alone: it never ran on a real device.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from aicp.core.launch import Allocation, DeviceShare
from aicp.core.quantity import MIB, format_bytes
from aicp.core.slice import SlicePolicy
from aicp.enforcers.base import Applied, Consumption

MECHANISM = "mps"
_PROGRAM = "nvidia-cuda-mps-control"
_PATIENCE_SECONDS = 10.0
_LONGEST_PIPE_PATH = 90  # the daemon makes sockets in it, whose whole path must fit into 107 bytes


class MpsEnforcer:
    """`program` is the daemon and the client of its commands; tests give one of their own."""

    def __init__(self, directory: Path | None = None, program: str = _PROGRAM) -> None:
        self._directory = directory or Path(tempfile.gettempdir()) / f"aicp-mps-{os.geteuid()}"
        self._program = program

    def keep_in(self, directory: Path) -> None:
        self._directory = directory

    def unavailable(self) -> str | None:
        if shutil.which(self._program) is None:
            return f"{_PROGRAM} is not installed (it comes with NVIDIA's driver)"
        return None

    def apply(self, group: str, allocation: Allocation) -> Applied:
        shares = [device for device in allocation.devices if device.mechanism == MECHANISM]
        if not shares:
            return Applied(False, "no slice is held by MPS")
        problem = self.unavailable() or _misfit(shares)
        if problem is None:
            try:
                return self._join(group, shares[0])
            except (OSError, subprocess.SubprocessError) as error:
                problem = str(error)
        return Applied(False, f"accelerator slices are not enforced: {problem}")

    def usage(self, group: str) -> Consumption:
        return Consumption()

    def pids(self, group: str) -> list[int]:
        return []

    def release(self, group: str) -> bool:
        """The last one of a device ends its daemon: after a fault a server takes no client until all have gone."""
        for client in self._directory.glob(f"*/clients/{group}"):
            client.unlink(missing_ok=True)
            place = client.parent.parent
            if not any((place / "clients").iterdir()):
                with suppress(OSError, subprocess.SubprocessError):
                    self._command(place, "quit")
        return True

    def _join(self, group: str, share: DeviceShare) -> Applied:
        place = self._directory / sha256(share.device_id.encode()).hexdigest()[:12]
        pipe = place / "pipe"
        if len(str(pipe)) > _LONGEST_PIPE_PATH:
            raise OSError(f"{pipe} is too long a path for sockets; choose a shorter AICP_DATA_DIR")
        for name in ("pipe", "log", "clients"):
            (place / name).mkdir(parents=True, exist_ok=True)
        _keep_own(pipe)
        if not self._answers(place):
            self._start(place, share.device_id)
        (place / "clients" / group).touch()
        memory = share.memory_bytes // MIB
        note = (
            f"accelerator slice by MPS: at most {share.compute_percent} % of threads and "
            f"{format_bytes(share.memory_bytes)} of {share.device_id}"
        )
        return Applied(
            True,
            f"{note} ({share.rounding})" if share.rounding else note,
            env={
                "CUDA_MPS_PIPE_DIRECTORY": str(pipe),
                "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE": str(share.compute_percent),
                "CUDA_MPS_PINNED_DEVICE_MEM_LIMIT": f"0={memory}M",  # numbered as the client sees its devices
            },
            # Not writable, which would make it the engine's own: it could put links and sockets where the daemon works,
            # which has the agent's rights. A client only connects. The daemon opens its sockets to everybody, and a
            # read-only mount refuses writing to files, directories and links, not to sockets and pipes.
            readable=(str(pipe),),
        )

    def _answers(self, place: Path) -> bool:
        with suppress(OSError, subprocess.SubprocessError):
            self._command(place, "get_server_list")
            return True
        return False

    def _start(self, place: Path, device_id: str) -> None:
        """By id: with an index, clients would count devices otherwise than the daemon does. Raises OSError."""
        env = self._environment(place) | {"CUDA_VISIBLE_DEVICES": device_id}
        self._run(["-d"], env, None)

    def _command(self, place: Path, command: str) -> None:
        self._run([], self._environment(place), command + "\n")

    def _run(self, options: list[str], env: Mapping[str, str], text: str | None) -> None:
        program = shutil.which(self._program) or self._program
        done = subprocess.run(
            [program, *options],
            env=env,
            input=text or "",
            capture_output=True,
            text=True,
            timeout=_PATIENCE_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip() or f"it ended with {done.returncode}"
            raise OSError(f"{_PROGRAM} {' '.join(options) or (text or '').strip()}: {said}")

    def _environment(self, place: Path) -> dict[str, str]:
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "CUDA_MPS_PIPE_DIRECTORY": str(place / "pipe"),
            "CUDA_MPS_LOG_DIRECTORY": str(place / "log"),
        }


def _keep_own(directory: Path) -> None:
    """Everybody may enter the directory and the agent alone may change it, whoever had it before. Raises OSError."""
    if directory.stat().st_uid != os.geteuid():
        os.chown(directory, os.geteuid(), os.getegid(), follow_symlinks=False)
    directory.chmod(0o755)


def _misfit(shares: list[DeviceShare]) -> str | None:
    if len(shares) > 1:
        return "a process can be a client of one MPS daemon, so of one device; ask for whole devices or one slice"
    if shares[0].policy is not SlicePolicy.CAP:
        return "MPS caps a share and cannot lend it; ask for policy cap"
    return None


driver = MpsEnforcer()
