"""Which part of a device belongs to which group: a file that survives a crash at any moment."""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

Groups = dict[str, dict[str, Any]]
"""By group, then by device_id, what the mechanism gave it."""

_GROUPS: TypeAdapter[Groups] = TypeAdapter(Groups)
EndOne = Callable[[Groups, str, str], None]
"""Ends what a group holds of one device and takes it out of the groups."""


def end_all(groups: Groups, group: str, end_one: EndOne) -> None:
    """Ends all that a group holds and forgets the group. Raises what `end_one` raises."""
    for device_id in list(groups[group]):
        end_one(groups, group, device_id)
    del groups[group]


def leftovers(groups: Groups, starting: str) -> list[str]:
    """Groups whose end was begun and not finished; they would keep their part of a device for ever."""
    return [
        group for group, held in groups.items() if group != starting and all(one["ending"] for one in held.values())
    ]


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """What lies in `directory` is this process's and thread's alone until it ends. Raises OSError."""
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


class Ledger:
    """One file a mechanism. It is replaced as a whole, so a reader finds the old content or the new one."""

    def __init__(self, mechanism: str, directory: Path | None = None) -> None:
        self._directory = directory or Path(tempfile.gettempdir()) / f"aicp-{mechanism}-{os.geteuid()}"

    def keep_in(self, directory: Path) -> None:
        """Where the file belongs, before anything else is asked."""
        self._directory = directory

    @contextmanager
    def opened(self) -> Iterator[Groups]:
        """The groups, for this process and thread alone until it ends; what changed is written unless it raises.

        Raises OSError where the directory cannot be written, or the file cannot be read: one that is taken for empty
        would give away what belongs to somebody.
        """
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(self._directory):
            groups = self._read()
            before = json.dumps(groups, sort_keys=True)
            yield groups
            if json.dumps(groups, sort_keys=True) != before:
                self.write(groups)

    def write(self, groups: Groups) -> None:
        """Puts `groups` on the disk now, from within `opened`. Raises OSError."""
        unfinished = self._path.with_suffix(".new")
        file = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(file, "w", encoding="utf-8") as stream:
            json.dump(groups, stream, sort_keys=True)
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.replace(self._path)

    def end(self, groups: Groups, group: str, end_one: EndOne) -> None:
        """Ends all that a group holds, written down first: what cannot be ended now is a leftover from then on.

        Raises what `end_one` raises, and OSError.
        """
        for held in groups[group].values():
            held["ending"] = True
        self.write(groups)
        end_all(groups, group, end_one)

    @property
    def _path(self) -> Path:
        return self._directory / "groups.json"

    def _read(self) -> Groups:
        try:
            return _GROUPS.validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except ValidationError as error:
            raise OSError(f"{self._path} cannot be read: {error.errors()[0]['msg']}") from error
