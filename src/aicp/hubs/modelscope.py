"""A repository on ModelScope, through the official client library."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

from modelscope_hub.api import HubApi
from modelscope_hub.config import HubConfig
from modelscope_hub.errors import HubError
from requests.exceptions import RequestException

from aicp.core.errors import AicpError, InvalidError, MalformedError, NotFoundError, UnavailableError
from aicp.core.model import ModelScopeSource
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

_HOSTS = ("modelscope.cn", "modelscope.ai")


class ModelScopeHub:
    """Lists a repository and downloads its files into the work directory, where the client continues broken ones."""

    local = False

    def resolve(self, source: ModelScopeSource, context: HubContext) -> Listing:
        refuse_offline(context, source)
        if source.repo.count("/") != 1:
            raise InvalidError(f"{source.repo!r} cannot name a repository.", hint="Write OWNER/NAME.")
        with _explained(source, context):
            found = _api(source, context).list_repo_files(source.repo, "model", revision=source.revision)
        files = [
            HubFile(item.path, item.size, sha256=item.sha256 or None, stamp=item.sha256 or item.blob_id or "")
            for item in found
            if not item.is_dir
        ]
        if not files:
            raise NotFoundError(f"{source.repo} holds no files.", hint="Check name and revision.")
        return Listing(
            identity=f"modelscope:{source.repo}",
            files=choose(files, source.include),
            name=source.repo.rpartition("/")[2],
            revision=source.revision or "master",
        )

    def fetch(self, source: ModelScopeSource, file: HubFile, sink: Sink, context: HubContext) -> None:
        class Callback:
            """The client makes one a file; raising in it ends the download."""

            def __init__(self, filename: str, file_size: int) -> None: ...

            def update(self, size: int) -> None:
                try:
                    context.progress.advance(size)
                except Exception as reason:
                    raise _Stopped(reason) from reason

            def end(self) -> None: ...

        callbacks: list[Any] = [Callback]
        place = f"modelscope:{source.endpoint or ''}:{source.repo}:{source.revision or ''}:{file.path}:{file.stamp}"
        with context.unfinished(place) as folder, _explained(source, context):
            path = _api(source, context).downloader.download_file(
                source.repo,
                "model",
                file.path,
                revision=source.revision,
                cache_dir=context.work_dir / "cache",
                local_dir=folder / "hub",
                file_size=file.size_bytes,
                progress_callbacks=callbacks,
            )
            sink.take(path)
            path.unlink()


def _api(source: ModelScopeSource, context: HubContext) -> HubApi:
    endpoint = source.endpoint or context.settings.endpoints.get("modelscope")
    if source.endpoint is not None:
        _check_endpoint(source.endpoint, context.settings)
    # its own folders: neither a login nor a cache of this machine's user plays a part
    config = HubConfig(
        endpoint=endpoint,
        token=source.token,
        config_dir=context.work_dir / "config",
        cache_dir=context.work_dir / "cache",
    )
    return HubApi(config)


def _check_endpoint(endpoint: str, settings: HubSettings) -> None:
    """The client follows redirects unchecked, so only the hub itself and hosts the administrator listed will do."""
    allowed = check_url(endpoint, settings)
    host = urlsplit(endpoint).hostname or ""
    hub = any(host == name or host.endswith(f".{name}") for name in _HOSTS)
    if hub or any(_names(entry, host, allowed.address) for entry in settings.allowed_networks):
        return
    raise MalformedError(
        f"{endpoint!r} is not an endpoint that the administrator allowed.",
        code="url_not_allowed",
        hint="A mirror can be opened with the setting import_allowed_networks.",
    )


def _names(entry: str, host: str, address: str) -> bool:
    try:
        return ip_address(address) in ip_network(entry.strip(), strict=False)
    except ValueError:
        return entry.strip().lower() == host


class _Stopped(BaseException):
    """Carries a cancel through the client, which takes every ordinary exception for a reason to try again."""

    def __init__(self, reason: Exception) -> None:
        self.reason = reason


@contextmanager
def _explained(source: ModelScopeSource, context: HubContext) -> Iterator[None]:
    try:
        with checked_endpoint(source.endpoint, context.settings):
            yield
    except _Stopped as stop:
        raise stop.reason from None
    except AicpError:
        raise
    except (HubError, RequestException, OSError, ValueError) as error:
        status = getattr(error, "status_code", None) or getattr(error, "http_status", None)
        text = str(error)[:300]
        if status == 404 or "NotFound" in type(error).__name__ or "NotExist" in type(error).__name__:
            raise NotFoundError(
                f"{source.repo} is not on ModelScope.", hint="Check name and revision; a private one needs a token."
            ) from error
        raise UnavailableError(f"ModelScope does not answer ({text}).", hint="Try again later.") from error


driver = ModelScopeHub()
