"""What must be right before the first process starts: the data directory, its lock, room on the disk, free ports."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
import shutil
import socket
from pathlib import Path

from aicp.core.errors import AicpError, ConflictError, InvalidError, NoSpaceError
from aicp.core.quantity import format_bytes
from aicp.main.children import write_private

DIRECTORIES = ("run", "db", "artifacts", "gateway", "agent", "logs")
_LONGEST_DATA_DIR = 80  # unix sockets below it must fit into 107 bytes
_LEAST_FREE_BYTES = 64 * 1024 * 1024


def prepare_data_dir(data_dir: Path) -> None:
    """Makes the data directory and its parts, mode 0700. Raises InvalidError or NoSpaceError with what to do."""
    if len(os.fsencode(data_dir)) > _LONGEST_DATA_DIR:
        raise InvalidError(
            f"The path of the data directory is too long for the sockets in it: {data_dir}.",
            hint=f"Set AICP_DATA_DIR to a path of at most {_LONGEST_DATA_DIR} characters.",
        )
    try:
        for path in (data_dir, *(data_dir / name for name in DIRECTORIES)):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            # `x` for the group may be the mask of an access list that lets engines pass; all else is closed
            if path.stat().st_mode & 0o067 and path.stat().st_uid == os.geteuid():
                path.chmod(0o700)
        probe = data_dir / "run" / ".probe"
        probe.write_bytes(b"aicp" * 1024)
        probe.unlink()
    except OSError as error:
        raise explain_unusable(data_dir, error) from error
    free = shutil.disk_usage(data_dir).free
    if free < _LEAST_FREE_BYTES:
        raise NoSpaceError(
            f"Only {format_bytes(free)} are free where {data_dir} lies; the platform was not started.",
            hint=f"Free at least {format_bytes(_LEAST_FREE_BYTES)}, or set AICP_DATA_DIR to another disk.",
        )


def explain_unusable(data_dir: Path, error: OSError) -> AicpError:
    """The same failure in words a user can act on."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpaceError(
            f"The disk is full: {error.filename or data_dir} cannot be written. Nothing was changed.",
            hint="Free space, or set AICP_DATA_DIR to another disk.",
        )
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return InvalidError(
            f"The data directory {data_dir} cannot be written ({error.strerror}).",
            hint="Give this user write access to it, or set AICP_DATA_DIR to a directory of its own.",
        )
    return InvalidError(f"The data directory {data_dir} cannot be used: {error.strerror} ({error.filename}).")


def lock_data_dir(data_dir: Path) -> int:
    """Locks the directory for this platform for as long as the descriptor is open.

    Raises ConflictError when another platform holds it.
    """
    descriptor = os.open(data_dir / "run" / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise ConflictError(
            f"Another platform{_holder(data_dir)} runs on the data directory {data_dir}.",
            hint="Stop it with `aicp down`, or set AICP_DATA_DIR and AICP_PORT for a second one.",
        ) from error
    return descriptor


def check_port(host: str, port: int, setting: str) -> None:
    """Raises ConflictError when `host`:`port` is taken, InvalidError when it cannot be listened on at all."""
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in addresses:
            with socket.socket(family, kind, protocol) as listener:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(address)
    except OSError as error:
        flag = f"--{setting.removeprefix('AICP_').lower().replace('_', '-')}"
        if error.errno == errno.EADDRINUSE:
            raise ConflictError(
                f"Port {port} on {host} is taken by another program.",
                hint=f"Set {setting} (or {flag}) to a free port, or stop that program.",
            ) from error
        raise InvalidError(
            f"The platform cannot listen on {host}:{port}: {error.strerror}.", hint=f"Correct {setting} (or {flag})."
        ) from error


def ensure_token(path: Path) -> str:
    """The secret in `path`, made at the first start, mode 0600."""
    if not path.exists():
        write_private(path, secrets.token_urlsafe(32))
    return path.read_text().strip()


def _holder(data_dir: Path) -> str:
    try:
        return f" (pid {json.loads((data_dir / 'run' / 'up.json').read_text())['pid']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
