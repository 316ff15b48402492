"""One file over HTTP(S) from a checked address, continued after interruptions."""

from __future__ import annotations

import json
import time
from pathlib import Path
from urllib.parse import urljoin

import httpx

from aicp.core.errors import InvalidError, NotFoundError, TooLargeError, UnavailableError
from aicp.hubs.base import HubContext, check_url
from aicp.security.addresses import MAX_REDIRECTS

_ATTEMPTS = 6
_TIMEOUT = httpx.Timeout(30.0, connect=10.0)


class _Interrupted(Exception):
    """The connection broke or the server asked to come back; what came is kept."""


def download(url: str, target: Path, context: HubContext) -> None:
    """Fetches `url` into `target`; what an earlier call left there is continued when the server still has the same.

    Raises MalformedError for an address that is not allowed, NotFoundError, TooLargeError beyond the quota, and
    UnavailableError when the server keeps failing.
    """
    reason = ""
    failures = 0
    while failures < _ATTEMPTS:
        before = target.stat().st_size if target.exists() else 0
        try:
            return _attempt(url, target, context)
        except (_Interrupted, httpx.TransportError) as error:
            reason = str(error) or type(error).__name__
            gained = target.exists() and target.stat().st_size > before
            failures = 1 if gained else failures + 1
        _pause(context, failures)
    raise UnavailableError(
        f"The download broke off {failures} times in a row ({reason}).", hint="Try again later; it continues."
    )


def _pause(context: HubContext, failures: int) -> None:
    wait = context.settings.retry_seconds * 2**failures
    while wait > 0:
        context.progress.advance(0)
        time.sleep(min(wait, 0.2))
        wait -= 0.2


def _attempt(url: str, target: Path, context: HubContext) -> None:
    with httpx.Client(timeout=_TIMEOUT, follow_redirects=False, trust_env=False) as client:
        for _ in range(MAX_REDIRECTS + 1):
            allowed = check_url(url, context.settings)
            headers = {"Host": allowed.authority, "Accept-Encoding": "identity", **_resume_headers(target)}
            extensions = {"sni_hostname": allowed.host}
            with client.stream("GET", allowed.pinned, headers=headers, extensions=extensions) as response:
                location = response.headers.get("location")
                if not (response.is_redirect and location):
                    return _receive(response, target, context)
                url = urljoin(url, location)
    raise InvalidError(f"The address redirects more than {MAX_REDIRECTS} times.", code="url_not_allowed")


def _validator(target: Path) -> Path:
    return target.with_suffix(".validator")


def _resume_headers(target: Path) -> dict[str, str]:
    try:
        validator = json.loads(_validator(target).read_text())
        size = target.stat().st_size
    except (FileNotFoundError, ValueError):
        return {}
    return {"Range": f"bytes={size}-", "If-Range": validator} if validator and size else {}


def _receive(response: httpx.Response, target: Path, context: HubContext) -> None:
    continued = response.status_code == 206
    have = target.stat().st_size if continued else 0
    if response.status_code == 416 and response.headers.get("content-range") == f"bytes */{target.stat().st_size}":
        return
    _refuse_status(response)
    if continued and not response.headers.get("content-range", "").startswith(f"bytes {have}-"):
        target.unlink()  # another part than was asked for: nothing can be added to it
        raise _Interrupted("the server sent another part of the file")
    declared = response.headers.get("content-length")
    total = have + int(declared) if declared and declared.isdigit() else None
    _check_quota(total or have, context)
    if not continued:
        etag = response.headers.get("etag", "")
        strong = etag if etag and not etag.startswith("W/") else response.headers.get("last-modified", "")
        _validator(target).write_text(json.dumps(strong))
    context.progress.advance(have)
    with target.open("ab" if continued else "wb") as file:
        for chunk in response.iter_raw():  # as it comes: a larger chunk would be lost with the connection
            have += len(chunk)
            _check_quota(have, context)
            file.write(chunk)
            context.progress.advance(len(chunk))
    if total is not None and have < total:
        raise _Interrupted(f"{have:,} of {total:,} bytes came")


def _refuse_status(response: httpx.Response) -> None:
    status = response.status_code
    if status in (200, 206):
        return
    if status in (404, 410):
        raise NotFoundError("There is nothing at this address.", hint="Check the URL.")
    if status in (401, 403):
        raise InvalidError(f"The server refuses the download ({status}).", hint="Use a signed or public address.")
    if status in (408, 425, 429) or status >= 500:
        raise _Interrupted(f"the server answered {status}")
    raise InvalidError(f"The server answered {status}.", hint="Check the URL.")


def _check_quota(size: int, context: HubContext) -> None:
    if size > context.settings.quota_bytes:
        raise TooLargeError(
            f"The download is larger than the allowed {context.settings.quota_bytes:,} bytes.",
            hint="Import from an object store or a folder.",
        )
