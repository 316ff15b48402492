"""A folder on the platform's machine."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from aicp.core.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from aicp.core.model import DirectorySource
from aicp.hubs.base import HubContext, HubFile, HubSettings, Listing, Sink

_CHUNK_BYTES = 4 * 2**20
_MAX_ENTRIES = 20_000


class DirectoryHub:
    """Lists and reads regular files; links and devices are refused, and never followed while reading."""

    local = True

    def resolve(self, source: DirectorySource, context: HubContext) -> Listing:
        root = Path(source.path)
        if not root.is_absolute():
            raise InvalidError(
                f"{source.path!r} is not an absolute path.", hint="Name the folder from the root of the file system."
            )
        try:
            root = root.resolve(strict=True)
            _check_allowed(root, context.settings)
            if not root.is_dir():
                raise InvalidError(f"{source.path} is not a folder.", hint="Name the folder that holds the files.")
            files: list[HubFile] = []
            problems: list[dict[str, str]] = []
            for entry in _walk(root):
                context.progress.advance(0)
                _list_entry(root, entry, files, problems)
        except FileNotFoundError as error:
            raise NotFoundError(f"There is no folder {source.path} on the platform's machine.") from error
        except PermissionError as error:
            raise InvalidError(
                f"The platform may not read {error.filename}.", hint="Give its user read access, or upload the files."
            ) from error
        except ValueError as error:
            raise InvalidError(f"{source.path!r} is not a valid path.") from error
        if problems:
            raise _refused(problems)
        return Listing(identity=f"directory:{root}", files=files, name=root.name, strict=True)

    def fetch(self, source: DirectorySource, file: HubFile, sink: Sink, context: HubContext) -> None:
        descriptor = _open_beneath(Path(source.path).resolve(), file.path)
        with os.fdopen(descriptor, "rb", buffering=0) as reader:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise _changed(file)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)
            reader.seek(sink.offset)
            buffer = memoryview(bytearray(_CHUNK_BYTES))
            while count := reader.readinto(buffer):
                sink.write(buffer[:count])
                context.progress.advance(count)
            after = os.fstat(descriptor)
        if (after.st_size, _stamp(after)) != (file.size_bytes, file.stamp):
            raise _changed(file)


def _check_allowed(root: Path, settings: HubSettings) -> None:
    """Raises ForbiddenError for the platform's own folders and for what the administrator has not opened."""
    closed = [place.resolve() for place in settings.closed_directories]
    opened = [place.resolve() for place in settings.directories]
    own = any(root.is_relative_to(place) or place.is_relative_to(root) for place in closed)
    if own or (opened and not any(root.is_relative_to(place) for place in opened)):
        raise ForbiddenError(
            f"Nothing may be imported from {root}.",
            hint="Upload the files instead, or ask the administrator to open the folder (`import_directories`).",
            code="directory_not_allowed",
        )


def _walk(folder: Path) -> Iterator[os.DirEntry[str]]:
    pending = [folder]
    count = 0
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in sorted(entries, key=lambda item: item.name):
                count += 1
                if count > _MAX_ENTRIES:
                    raise InvalidError(f"{folder} holds more than {_MAX_ENTRIES:,} files and folders.")
                if entry.is_dir(follow_symlinks=False):
                    pending.append(Path(entry.path))
                yield entry


def _list_entry(root: Path, entry: os.DirEntry[str], files: list[HubFile], problems: list[dict[str, str]]) -> None:
    path = Path(entry.path).relative_to(root).as_posix()
    if entry.is_symlink():
        problems.append({"path": path, "reason": "a symbolic link"})
    elif entry.is_file(follow_symlinks=False):
        found = entry.stat(follow_symlinks=False)
        files.append(HubFile(path, found.st_size, stamp=_stamp(found)))
    elif not entry.is_dir(follow_symlinks=False):
        problems.append({"path": path, "reason": "no regular file"})


def _stamp(found: os.stat_result) -> str:
    return f"{found.st_ino}:{found.st_mtime_ns}"


def _open_beneath(root: Path, path: str) -> int:
    """Opens step by step without following links, so a folder swapped meanwhile cannot lead elsewhere."""
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        *parents, name = PurePosixPath(path).parts
        for part in parents:
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = inner
        return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError as error:
        raise ConflictError(f"{path} changed or cannot be read any more ({error.strerror}).") from error
    finally:
        os.close(folder)


def _changed(file: HubFile) -> ConflictError:
    return ConflictError(
        f"{file.path} changed while it was read.", hint="Wait until nothing writes to the folder, then import again."
    )


def _refused(problems: list[dict[str, Any]]) -> InvalidError:
    shown = ", ".join(f"{item['path']} ({item['reason']})" for item in problems[:5])
    return InvalidError(
        f"The folder holds what is no plain file: {shown}{' and more' if len(problems) > 5 else ''}.",
        hint="Copy the files that the links point to (cp -rL), then import the copy.",
        code="unsafe_files",
        details={"files": problems[:1000]},
    )


driver = DirectoryHub()
