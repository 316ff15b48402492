"""A private view of the file system for one engine: of the platform's files it sees its own, and nothing else.

Used by a platform that runs as root, whose data directory no other user may enter. In a mount namespace of its own the
engine finds an empty directory in the place of each hidden one, and in it, at the usual paths, only what it needs.
Where the machine forbids namespaces, the engine's user is instead allowed to pass through the directories above those
paths (an access list with `x` for that one user), which lets it read nothing that its modes do not already allow.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

_CLONE_NEWNS = 0x00020000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
_ACL = "system.posix_acl_access"
_NO_ID = 0xFFFFFFFF
_USER_OBJ, _USER, _GROUP_OBJ, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x10, 0x20


@dataclass(frozen=True, slots=True)
class View:
    """`hidden` directories appear empty but for `readable` and `writable` paths below them."""

    hidden: list[str] = field(default_factory=list[str])
    readable: list[str] = field(default_factory=list[str])
    writable: list[str] = field(default_factory=list[str])


def plan_view(data_dir: Path, readable: Iterable[Path], writable: Iterable[Path]) -> View:
    """A view that hides the data directory and every directory on the way that other users may not enter."""
    readable, writable = {path.resolve() for path in readable}, [path.resolve() for path in writable]
    # what lies in a directory that is shown is shown with it
    readable = [path for path in readable if not any(other in path.parents for other in readable)]
    hidden = {data_dir.resolve()}
    for path in (*readable, *writable):
        closed = closed_directories(path)
        hidden.update(closed[:1])
    outermost = sorted(path for path in hidden if not any(other in path.parents for other in hidden))
    below = [[str(p) for p in paths if _is_below(p, outermost)] for paths in (readable, writable)]
    return View([str(path) for path in outermost], below[0], below[1])


def closed_directories(path: Path) -> list[Path]:
    """Directories above `path` that not everybody may enter, outermost first."""
    return [parent for parent in reversed(path.resolve().parents) if not parent.stat().st_mode & 0o001]


def enter(view: View) -> None:
    """Moves this process into the view. Raises OSError where the kernel refuses; needs CAP_SYS_ADMIN."""
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.unshare(_CLONE_NEWNS), "unshare")
    _mount(None, "/", None, _MS_REC | _MS_PRIVATE)
    kept = [(path, True) for path in view.readable] + [(path, False) for path in view.writable]
    # held open before their way in disappears under the empty directories
    held = [(path, only_read, os.open(path, os.O_PATH | os.O_CLOEXEC)) for path, only_read in kept]
    for path in view.hidden:
        _mount("aicp", path, "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=0755,size=1m")
    for path, only_read, descriptor in sorted(held):
        _show(path, only_read, f"/proc/self/fd/{descriptor}")
        os.close(descriptor)


def can_enter() -> bool:
    """Whether this machine lets the present process make mount namespaces; asked in a child of its own."""
    child = os.fork()
    if child == 0:
        refused = ctypes.CDLL(None).unshare(_CLONE_NEWNS)
        os._exit(1 if refused else 0)
    return os.waitpid(child, 0)[1] == 0


def allow_passage(path: Path, user_id: int) -> None:
    """Lets one user enter the closed directories above `path`, without listing or reading them. Raises OSError."""
    for directory in closed_directories(path):
        os.setxattr(directory, _ACL, _pack(_with_passage(_access_list(directory), user_id)))


def _access_list(directory: Path) -> dict[tuple[int, int], int]:
    """(tag, id) -> permission, from the list or, without one, from the mode. Format: linux/posix_acl_xattr.h."""
    try:
        packed = os.getxattr(directory, _ACL)
        return {(tag, number): perm for tag, perm, number in struct.iter_unpack("<HHI", packed[4:])}
    except OSError:
        mode = directory.stat().st_mode
        return {
            (_USER_OBJ, _NO_ID): (mode >> 6) & 7,
            (_GROUP_OBJ, _NO_ID): (mode >> 3) & 7,
            (_OTHER, _NO_ID): mode & 7,
        }


def _with_passage(entries: dict[tuple[int, int], int], user_id: int) -> dict[tuple[int, int], int]:
    mask = entries.get((_MASK, _NO_ID), entries[(_GROUP_OBJ, _NO_ID)])
    return entries | {(_USER, user_id): entries.get((_USER, user_id), 0) | 1, (_MASK, _NO_ID): mask | 1}


def _pack(entries: dict[tuple[int, int], int]) -> bytes:
    ordered = sorted(entries.items())
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", tag, perm, number) for (tag, number), perm in ordered)


def _is_below(path: Path, directories: Iterable[Path]) -> bool:
    return any(path == directory or directory in path.parents for directory in directories)


def _show(path: str, only_read: bool, source: str) -> None:
    target = Path(path)
    if os.path.isdir(source):
        target.mkdir(mode=0o755, parents=True, exist_ok=True)
    else:
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        if not target.exists():  # below one that is shown already it does, and may not be touched
            target.touch()
    _mount(source, path, None, _MS_BIND)
    if only_read:
        _mount(None, path, None, _MS_BIND | _MS_REMOUNT | _MS_RDONLY | _MS_NOSUID | _MS_NODEV)


def _mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    arguments = [text.encode() if text is not None else None for text in (source, target, kind)]
    libc = ctypes.CDLL(None, use_errno=True)
    result = libc.mount(*arguments, ctypes.c_ulong(flags), options.encode() if options else None)
    _check(result, target)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
