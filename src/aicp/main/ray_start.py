"""The command lines with which Ray's own processes are started, and what is done about those of an earlier start."""

from __future__ import annotations

import hashlib
import os
import secrets
import signal
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from aicp.core.errors import InvalidError
from aicp.core.ray_member import MARK_VARIABLE, NODE_LABEL, RayMember
from aicp.telemetry.processes import pids_marked

_OBJECT_STORE_BYTES = 80_000_000  # nothing of the platform goes through it; Ray takes no less
_NOTHING_OF_ITS_OWN = ("--num-cpus=0", "--num-gpus=0", "--include-log-monitor=false", "--disable-usage-stats")
"""The platform chooses cards; Ray shall hand out none, and read no logs."""


def head_command(member: RayMember, node_id: str) -> tuple[str, ...]:
    """Ray's head, in the foreground."""
    port = member.head.rpartition(":")[2]
    return (*_ray_start(member, node_id), "--head", f"--port={port}", "--include-dashboard=false")


def node_command(member: RayMember, node_id: str) -> tuple[str, ...]:
    """One more node of the head's cluster, in the foreground."""
    return (*_ray_start(member, node_id), f"--address={member.head}")


def state_environment(redis: str, authority: Path | None, directory: Path) -> dict[str, str]:
    """Variables that say where the head keeps its state, so that one that is started anew knows its nodes again.

    Without an address of a Redis it is a database in the member's directory, on this machine's disk. `authority` is
    whose certificates a Redis with TLS may show.
    """
    if not redis:
        return {"RAY_gcs_storage": "rocksdb", "RAY_gcs_storage_path": str(directory / "state")}
    parts = urlsplit(redis)
    trusted = {"RAY_REDIS_CA_CERT": str(authority.absolute())} if authority and parts.scheme == "rediss" else {}
    return trusted | {
        "RAY_REDIS_ADDRESS": f"{parts.scheme}://{_bracketed(parts.hostname or '')}:{parts.port or 6379}",
        "RAY_REDIS_PASSWORD": unquote(parts.password or ""),
        "RAY_external_storage_namespace": _state_name(directory),
    }


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _state_name(directory: Path) -> str:
    """What this platform's state is called in a Redis that others may use as well; made once."""
    path = directory / "state-name"
    if not path.exists():
        unfinished = path.with_name(".state-name.new")
        unfinished.write_text(f"aicp-{secrets.token_hex(8)}")
        unfinished.replace(path)
    return path.read_text()


def end_leftovers(member: RayMember) -> None:
    """Kills Ray's processes that an earlier, killed start of this member left: a second start would refuse."""
    for pid in pids_marked(MARK_VARIABLE, str(member.directory)):
        if pid != os.getpid():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def forget_earlier_head(member: RayMember) -> None:
    """Takes away what an earlier head noted of itself: Ray would look for it among all processes that it can see, and
    take a node's that has outlived it for a head."""
    (temporary_directory(member.directory) / "ray_current_cluster").unlink(missing_ok=True)


def ray_variables(inherited: Mapping[str, str]) -> dict[str, str]:
    """An environment for Ray, without what a shell may have set for another cluster."""
    return {name: text for name, text in inherited.items() if not name.startswith("RAY_")}


def _ray_start(member: RayMember, node_id: str) -> tuple[str, ...]:
    return (
        *(sys.executable, "-m", "aicp.runners.ray.start", "--block", "--log-color=false"),
        f"--node-ip-address={member.address}",
        f"--temp-dir={temporary_directory(member.directory)}",
        f"--object-store-memory={_OBJECT_STORE_BYTES}",
        f"--labels={NODE_LABEL}={node_id}",
        *_NOTHING_OF_ITS_OWN,
    )


def temporary_directory(directory: Path) -> Path:
    """Where this member's Ray keeps sockets and logs: short, as sockets must be, and this user's alone."""
    name = hashlib.sha256(str(directory).encode()).hexdigest()[:10]
    path = Path(tempfile.gettempdir()) / f"aicp-ray-{os.geteuid()}-{name}"
    path.mkdir(mode=0o700, exist_ok=True)
    if path.is_symlink() or path.stat().st_uid != os.geteuid():
        raise InvalidError(f"{path} belongs to another user.", hint="Remove it, or set TMPDIR to a directory of yours.")
    path.chmod(0o700)
    return path
