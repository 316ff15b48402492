"""What the agent writes down of each replica, so that its successor finds the engines again."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pydantic import AwareDatetime, ValidationError

from aicp.core.launch import ObservedReplica, ReplicaLaunch, ReplicaMember
from aicp.core.value import Value
from aicp.telemetry.log_files import LogFile
from aicp.telemetry.processes import ProcessIdentity, read_identity


class ReplicaRecord(Value):
    """One replica as last written. `token` and `address` belong to the start that runs now."""

    launch: ReplicaLaunch
    wanted: bool = True
    address: str | None = None
    token: str | None = None
    started_at: AwareDatetime | None = None
    ready_at: AwareDatetime | None = None
    restarts: int = 0
    limits: list[str] = []
    ended: ObservedReplica | None = None
    grace_seconds: float = 10.0

    def member(self, node_id: str) -> ReplicaMember | None:
        """The member that runs on this node."""
        return next((member for member in self.launch.members if member.node_id == node_id), None)


class ReplicaFiles:
    """The files of one replica: `replica.json` and `process.json`, `engine.log`, the engine's `home` and `run`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.home = directory / "home"
        self.run = directory / "run"
        self.log = LogFile(directory / "engine.log")
        self.identity_file = directory / "process.json"
        self._record_file = directory / "replica.json"

    def write(self, record: ReplicaRecord) -> None:
        """Replaces the record in one step. The file holds the engine's token: mode 0600."""
        self.directory.mkdir(mode=0o711, parents=True, exist_ok=True)
        unfinished = self._record_file.with_suffix(".new")
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(record.model_dump_json())
        unfinished.replace(self._record_file)

    def read(self) -> ReplicaRecord | None:
        """The record, or None when there is none that can be read."""
        with suppress(OSError, ValidationError):
            return ReplicaRecord.model_validate_json(self._record_file.read_bytes())
        return None

    def identity(self) -> ProcessIdentity | None:
        """The engine's process as the launcher wrote it down."""
        with suppress(OSError, ValueError):
            return read_identity(json.loads(self.identity_file.read_text()))
        return None

    def token_digest(self) -> str | None:
        """The digest of the token that this process was started with, None where it was not written down."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            return str(json.loads(self.identity_file.read_text())["token_sha256"])
        return None

    def forget_process(self) -> None:
        """Removes the trace of a process that is gone; a disk that cannot be written keeps nothing from ending."""
        with suppress(OSError):
            self.identity_file.unlink(missing_ok=True)

    def clear(self) -> None:
        """Removes everything of an ended replica but its record and its log."""
        for path in (self.home, self.run.resolve()):
            shutil.rmtree(path, ignore_errors=True)
        if self.run.is_symlink():
            with suppress(OSError):
                self.run.unlink()
        self.forget_process()


def replica_directories(parent: Path) -> Iterator[Path]:
    """Directories of all replicas, newest first by name (ids begin with their time)."""
    if parent.exists():
        yield from sorted((path for path in parent.iterdir() if path.is_dir()), reverse=True)
