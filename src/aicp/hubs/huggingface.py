"""A repository on a Hugging Face compatible hub, through the official client library."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from huggingface_hub import HfApi, constants, hf_hub_download, hf_hub_url
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import build_hf_headers, get_session

from aicp.core.errors import AicpError, ForbiddenError, InvalidError, NotFoundError, UnavailableError
from aicp.core.model import HuggingFaceSource
from aicp.hubs.base import (
    HubContext,
    HubFile,
    HubSettings,
    Listing,
    Sink,
    check_url,
    checked_endpoint,
    choose,
    refuse_offline,
)

_guard: ContextVar[HubSettings | None] = ContextVar("huggingface_guard", default=None)
"""Set while talking to an endpoint that a user named: then every request, redirected ones too, is checked."""


def _check_request(request: Any) -> None:
    settings = _guard.get()
    if settings is not None:
        check_url(str(request.url), settings)


def _guard_client() -> None:
    hooks = get_session().event_hooks
    if _check_request not in hooks.get("request", []):
        get_session().event_hooks = {**hooks, "request": [*hooks.get("request", []), _check_request]}


class HuggingFaceHub:
    """Lists a repository at one commit and streams its files; LFS files come with their digest."""

    local = False

    def resolve(self, source: HuggingFaceSource, context: HubContext) -> Listing:
        refuse_offline(context, source)
        with _explained(source, context):
            api = HfApi(endpoint=_endpoint(source, context), token=_token(source))
            info = api.model_info(source.repo, revision=source.revision, files_metadata=True)
        files = [
            HubFile(
                sibling.rfilename,
                sibling.size or 0,
                sha256=sibling.lfs.sha256 if sibling.lfs else None,
                stamp=sibling.blob_id or info.sha or "",
                handle=info.sha,
            )
            for sibling in info.siblings or []
        ]
        return Listing(
            identity=f"huggingface:{source.repo}",
            files=choose(files, source.include),
            name=source.repo.rpartition("/")[2],
            revision=info.sha,
            license=_license(info.card_data.get("license") if info.card_data else None),
        )

    def fetch(self, source: HuggingFaceSource, file: HubFile, sink: Sink, context: HubContext) -> None:
        with _explained(source, context):
            # The transfer protocol connects by itself, so an endpoint that a user named is read over plain HTTP alone.
            large = file.size_bytes > constants.MAX_HTTP_DOWNLOAD_SIZE
            if large and source.endpoint is None:
                return self._fetch_large(source, file, sink, context)
            url = hf_hub_url(source.repo, file.path, revision=file.handle, endpoint=_endpoint(source, context))
            headers = {**build_hf_headers(token=_token(source)), "accept-encoding": "identity"}
            target: Any = _SinkFile(sink, context)
            http_get(
                url,
                target,
                resume_size=sink.offset,
                headers=headers,
                expected_size=None if large else file.size_bytes,
                tqdm_class=_NoBar,  # pyright: ignore[reportArgumentType]
            )

    def _fetch_large(self, source: HuggingFaceSource, file: HubFile, sink: Sink, context: HubContext) -> None:
        """Files beyond what the hub serves over plain HTTP come through its own transfer protocol, in one go."""
        path = hf_hub_download(
            source.repo,
            file.path,
            revision=file.handle,
            local_dir=context.work_dir / "hub",
            endpoint=_endpoint(source, context),
            token=_token(source),
        )
        sink.take(context.work_dir / "hub" / path)
        context.progress.advance(file.size_bytes)


def _license(stated: object) -> str | None:
    """The card's licence; cards name one, several or none."""
    names = [str(name) for name in stated] if isinstance(stated, list) else [str(stated)] if stated else []
    return ", ".join(names)[:200] or None


class _SinkFile(io.RawIOBase):
    """What the client writes to."""

    def __init__(self, sink: Sink, context: HubContext) -> None:
        self._sink = sink
        self._context = context

    def write(self, chunk: Any, /) -> int:
        self._sink.write(chunk)
        self._context.progress.advance(len(chunk))
        return len(chunk)

    def tell(self) -> int:
        return self._sink.offset

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return offset  # the client goes back to the start only to truncate there

    def truncate(self, size: int | None = None, /) -> int:
        self._sink.restart()
        return 0


class _NoBar:
    """A progress bar that draws nothing."""

    def __init__(self, *args: Any, **options: Any) -> None: ...

    def update(self, count: float = 1) -> None: ...

    def close(self) -> None: ...

    def __enter__(self) -> _NoBar:
        return self

    def __exit__(self, *args: object) -> None: ...


def _endpoint(source: HuggingFaceSource, context: HubContext) -> str | None:
    return source.endpoint or context.settings.endpoints.get("huggingface")


def _token(source: HuggingFaceSource) -> str | bool | None:
    # A token that this machine happens to have must never reach an endpoint that a user named.
    return source.token or (False if source.endpoint else None)


@contextmanager
def _explained(source: HuggingFaceSource, context: HubContext) -> Iterator[None]:
    _guard_client()
    token = _guard.set(context.settings if source.endpoint is not None else None)
    try:
        with checked_endpoint(source.endpoint, context.settings):
            yield
    except AicpError:
        raise
    except OfflineModeIsEnabled as error:
        raise UnavailableError(
            "The platform is offline (HF_HUB_OFFLINE), so the hub cannot be reached.",
            hint="Import from a folder or an upload.",
            code="offline",
        ) from error
    except GatedRepoError as error:
        raise ForbiddenError(
            f"{source.repo} is gated.", hint="Accept its terms on the hub, then import with a token of that account."
        ) from error
    except (RepositoryNotFoundError, RevisionNotFoundError, EntryNotFoundError) as error:
        raise NotFoundError(
            f"{source.repo}{f' at {source.revision}' if source.revision else ''} is not on the hub.",
            hint="Check name and revision; a private repository needs a token.",
        ) from error
    except HFValidationError as error:
        raise InvalidError(f"{source.repo!r} cannot name a repository.", hint="Write OWNER/NAME.") from error
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise UnavailableError(f"The hub does not answer ({str(error)[:300]}).", hint="Try again later.") from error
    except Exception as error:  # the client's own HTTP library is no part of its interface
        if type(error).__module__.startswith(("httpx", "httpcore")):
            raise UnavailableError(f"The hub does not answer ({error!r}).", hint="Try again later.") from error
        raise
    finally:
        _guard.reset(token)


driver = HuggingFaceHub()
