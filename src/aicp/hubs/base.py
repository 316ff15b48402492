"""What a hub driver is: it lists the files of one source and brings them, one by one, into a sink.

Drivers block and run in a thread of their own. They keep no state between calls: `resolve` may be called again after
a crash, and `fetch` continues where `sink.offset` stands when the source can do that, or calls `sink.restart()`.
"""

from __future__ import annotations

import asyncio
import fnmatch
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from aicp.core.errors import AicpError, InvalidError, UnavailableError
from aicp.core.model import ImportSource
from aicp.security.addresses import AllowedUrl, resolve_allowed
from aicp.security.connections import checked_connections


class Progress(Protocol):
    """Hears how a driver gets on. Both methods raise when the job was canceled; drivers let that pass through."""

    def advance(self, count: int, /) -> None:
        """So many more bytes arrived; 0 only asks whether to go on."""
        ...

    def say(self, message: str, /) -> None:
        """What the driver does now, in words."""
        ...


class Sink(Protocol):
    """Where one file goes."""

    offset: int
    """Bytes that are already there."""

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Appends. The chunk may be reused afterwards."""
        ...

    def take(self, path: Path) -> None:
        """Uses a whole file of the work directory instead of writing; it must not change afterwards."""
        ...

    def restart(self) -> None:
        """Throws away what is there."""
        ...


@dataclass(frozen=True, slots=True)
class HubFile:
    """One file of a source: relative POSIX path, size, digest if the source announces it, and the driver's handle.

    `stamp` changes whenever the content may have changed (ETag, commit, time of change).
    """

    path: str
    size_bytes: int
    sha256: str | None = None
    stamp: str = ""
    handle: Any = None


@dataclass(frozen=True, slots=True)
class Listing:
    """What a source holds. `identity` names it for people and in a version's `source`; never with credentials.

    `strict` refuses files off the allow-list (folders and uploads, which their owner can clean); otherwise they are
    left out with a note, since hubs and archives of others often carry them.
    """

    identity: str
    files: Sequence[HubFile]
    name: str = ""
    revision: str | None = None
    license: str | None = None
    strict: bool = False
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class HubSettings:
    """The administrator's rules for all drivers.

    `closed_directories`: folders of the platform's own, never read. `directories`: the only ones that may be read (none
    given: all others). `allowed_networks`: private hosts and networks that may be reached. `quota_bytes`: the most that
    one archive may unpack to. `endpoints`: driver name -> base URL of a mirror. `retry_seconds`: pause before the first
    retry.
    """

    uploads_dir: Path
    closed_directories: Sequence[Path] = ()
    directories: Sequence[Path] = ()
    offline: bool = False
    allowed_networks: Sequence[str] = ()
    quota_bytes: int = 2 * 2**40
    endpoints: Mapping[str, str] = field(default_factory=dict[str, str])
    retry_seconds: float = 0.5


@dataclass(frozen=True, slots=True)
class HubContext:
    """What a driver may use: a work directory of the job that survives a restart, where to report, the rules.

    `keep` gives a folder of the work directory's disk that survives the job; without it there is none.
    """

    work_dir: Path
    progress: Progress
    settings: HubSettings
    keep: Callable[[str], AbstractContextManager[Path]] | None = None

    def unfinished(self, key: str) -> AbstractContextManager[Path]:
        """A folder for what is arriving, of whoever names the same `key`: the place and version of the content.

        When the block ends for want of an answer or by a cancel, the next job with that key finds what lies there;
        after any other end it is gone.
        """
        return self.keep(key) if self.keep else nullcontext(self.work_dir)


class Hub(Protocol):
    """The required part of a driver; `source` is the ImportSource of the driver's name."""

    local: bool
    """Whether listing needs no network, so that a request can be refused before a job starts."""

    def resolve(self, source: Any, context: HubContext) -> Listing:
        """Lists the source. Raises NotFoundError, InvalidError or UnavailableError in the user's words."""
        ...

    def fetch(self, source: Any, file: HubFile, sink: Sink, context: HubContext) -> None:
        """Brings one listed file into `sink`, all of it, or raises."""
        ...


def refuse_offline(context: HubContext, source: ImportSource) -> None:
    """Raises UnavailableError when the administrator switched outside sources off."""
    if context.settings.offline:
        raise UnavailableError(
            f"The platform is offline, so {source.kind} cannot be reached.",
            hint="Import from a folder or an upload, or switch AICP_OFFLINE off.",
            code="offline",
        )


def check_url(url: str, settings: HubSettings) -> AllowedUrl:
    """The one address that `url` may be fetched from. Raises MalformedError `url_not_allowed`. Blocks."""
    return asyncio.run(resolve_allowed(url, settings.allowed_networks))


@contextmanager
def checked_endpoint(endpoint: str | None, settings: HubSettings) -> Iterator[None]:
    """Around all talk with an endpoint that a user named; nothing for None, the administrator's or the public one.

    Raises MalformedError `url_not_allowed`, also when a library connects to or is redirected to another address than
    those that may be reached.
    """
    if endpoint is None:
        yield
        return
    check_url(endpoint, settings)
    with checked_connections(settings.allowed_networks):
        try:
            yield
        except Exception as error:
            refusal = refusal_within(error)
            if refusal is None or refusal is error:
                raise
            raise refusal from error


def refusal_within(error: BaseException) -> AicpError | None:
    """The refusal that a library wrapped in errors of its own."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, AicpError) and found.code == "url_not_allowed":
            return found
        found = found.__cause__ or found.__context__
    return None


def choose(files: Sequence[HubFile], patterns: Sequence[str]) -> list[HubFile]:
    """Files that match one of `patterns` (shell style; none given: all) plus the small files beside the weights.

    Raises InvalidError when a pattern was given and no weight file matches.
    """
    if not patterns:
        return list(files)
    weights = (".gguf", ".safetensors")
    chosen = [
        file
        for file in files
        if not file.path.lower().endswith(weights) or any(fnmatch.fnmatch(file.path, pattern) for pattern in patterns)
    ]
    if not any(file.path.lower().endswith(weights) for file in chosen):
        raise InvalidError(
            f"No weight file matches {', '.join(patterns)}.",
            hint=f"The source holds: {', '.join(file.path for file in files[:20])}.",
        )
    return chosen
