"""Downloads that broke off: what came waits for the next job that wants the same, until it is too old or too much."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aicp.artifacts.locks import lock_in_place
from aicp.core.errors import AicpError, UnavailableError


class Unfinished:
    """Folders by a key that names the content as well as its source can tell."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True, mode=0o700)

    @contextmanager
    def folder(self, key: str) -> Iterator[Path]:
        """The folder of `key`; a fresh one of its own while another job uses that.

        It stays when the block ends for want of an answer, by a cancel or with the process, and is removed after
        success and every other failure: what is wrong or fills the disk must not come back.
        """
        path = self.root / hashlib.sha256(key.encode()).hexdigest()
        handle = _locked(path)
        shared = handle is not None
        if handle is None:
            path = path.with_suffix(f".{secrets.token_hex(8)}")
            handle = _locked(path)
            assert handle is not None
        keep = False
        try:
            yield path
        except (AicpError, OSError) as error:
            keep = isinstance(error, UnavailableError)
            raise
        except BaseException:
            keep = True
            raise
        finally:
            if not (keep and shared and any(path.iterdir())):
                shutil.rmtree(path, ignore_errors=True)
            os.close(handle)

    def forget(self, *, older_than: float, most_bytes: int) -> int:
        """Removes folders untouched since `older_than` (seconds since the epoch), and the oldest beyond `most_bytes`.

        Those in use stay. Answers how many went.
        """
        found = sorted(((*_weight(path), path) for path in self.root.iterdir()), reverse=True)
        kept_bytes = count = 0
        for touched, size, path in found:
            kept_bytes += size
            if touched >= older_than and kept_bytes <= most_bytes:
                continue
            handle = _locked(path)
            if handle is not None:
                shutil.rmtree(path, ignore_errors=True)
                os.close(handle)
                kept_bytes -= size
                count += 1
        return count


def _locked(path: Path) -> int | None:
    def open_folder() -> int:
        path.mkdir(exist_ok=True, mode=0o700)
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)

    return lock_in_place(path, open_folder)


def _weight(folder: Path) -> tuple[float, int]:
    """(last change, bytes) of a folder."""
    touched, size = 0.0, 0
    for place, _, files in os.walk(folder):
        for path in (Path(place), *(Path(place) / file for file in files)):
            try:
                state = path.lstat()
            except FileNotFoundError:
                continue
            touched = max(touched, state.st_mtime)
            size += 0 if path == Path(place) else state.st_size
    return touched, size
