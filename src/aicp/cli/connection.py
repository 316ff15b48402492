"""Which platform a command talks to and with which credential."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from aicp.client.rest import Client
from aicp.core.clock import SystemClock
from aicp.core.errors import UnauthorizedError

DEFAULT_PORT = 8600
LOGIN_FILE = Path(typer.get_app_dir("aicp")) / "login.json"

_LOOPBACK = {"127.0.0.1", "::1", "localhost"}

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
WaitFlag = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the end and show progress.")]
YesFlag = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def local_endpoints(data_dir: Path) -> dict[str, str]:
    """What the platform on `data_dir` wrote: console_url, gateway_url and, with TLS, the path of its certificate."""
    path = data_dir / "run" / "endpoints.json"
    return json.loads(path.read_text()) if path.is_file() else {}


def local_pin(data_dir: Path, url: str) -> Path | None:
    """The certificate of the platform on `data_dir`; None when `url` is no https address of that platform."""
    written = local_endpoints(data_dir)
    certificate, address = written.pop("certificate", None), urlsplit(url)
    if certificate is None or address.scheme != "https":
        return None
    own = {urlsplit(found).hostname for found in written.values()} | _LOOPBACK
    return Path(certificate) if address.hostname in own else None


@dataclass(frozen=True, slots=True)
class Target:
    """The options given before the command."""

    url: str | None
    token: str | None
    data_dir: Path
    port: int | None
    ca: Path | None = None
    token_from: str = "--token"

    def local_url(self) -> str:
        """Address of the platform on this machine."""
        written = local_endpoints(self.data_dir).get("console_url")
        if self.port is not None:
            scheme = urlsplit(written).scheme if written else "http"
            return f"{scheme}://127.0.0.1:{self.port}"
        return written or f"http://127.0.0.1:{DEFAULT_PORT}"

    def local_token(self) -> str | None:
        """The admin's token that the platform on this machine keeps for its owner."""
        path = self.data_dir / "run" / "admin.token"
        try:
            return path.read_text().strip() or None
        except OSError:
            return None


def target_of(ctx: typer.Context) -> Target:
    """The options given before the command."""
    target = ctx.find_root().obj
    assert isinstance(target, Target)
    return target


def saved_login() -> dict[str, str]:
    """What `aicp login` kept: url, token and expires_at, and ca when one was given; empty when there is no login."""
    try:
        kept = json.loads(LOGIN_FILE.read_text())
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) and {"url", "token"} <= kept.keys() else {}


@dataclass(frozen=True, slots=True)
class Credential:
    """Where a command goes, as whom, and how it came to be allowed that; `source` is in words."""

    url: str
    token: str | None
    source: str


def same_address(one: str, other: str) -> bool:
    """Whether two addresses are one platform's: every name of loopback is this machine."""
    return _origin(one) == _origin(other)


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url.rstrip("/"))
    host = parts.hostname or ""
    return parts.scheme, "loopback" if host in _LOOPBACK else host, parts.port


def open_client(target: Target, url: str, token: str | None) -> Client:
    """A client that believes --ca, else the file that the login at `url` named, else this machine's own certificate."""
    saved = saved_login()
    kept = saved.get("ca") if saved and same_address(saved["url"], url) else None
    ca = target.ca or (Path(kept) if kept else None)
    renew = target.local_token if token and token == target.local_token() else None  # it changes at every start
    return Client(url, token, ca=ca, pin=None if ca else local_pin(target.data_dir, url), renew=renew)


def find_credential(target: Target) -> Credential:
    """The platform: by --url, else the one of the data directory, else that of the login kept by `aicp login`.

    The credential for it: --token or AICP_TOKEN, else the login made at that address, else the token that this
    machine's platform keeps for its owner. A login is what somebody decided last, so it goes before the owner's token.
    """
    saved, local_url, owner = saved_login(), target.local_url(), target.local_token()
    url = target.url or (local_url if target.token or owner or not saved else saved["url"])
    if target.token:
        return Credential(url, target.token, target.token_from)
    if saved and same_address(saved["url"], url):
        _check_live(saved, can_be_owner=owner is not None and same_address(url, local_url))
        return Credential(url, saved["token"], "the login kept by `aicp login`")
    if owner and same_address(url, local_url):
        return Credential(url, owner, f"the owner's token in {target.data_dir / 'run'}")
    if target.url:  # what needs no login, such as the version, answers still
        return Credential(url, None, "none")
    raise UnauthorizedError(
        f"There is no platform under {target.data_dir} that this user may use, and no saved login.",
        hint="Start one with `aicp up`, or run `aicp login URL`.",
    )


def _check_live(saved: dict[str, str], *, can_be_owner: bool) -> None:
    ends = saved.get("expires_at")
    if ends and datetime.fromisoformat(ends) <= SystemClock().now():
        owner = ", or `aicp logout` to go on as the owner of this machine's platform" if can_be_owner else ""
        raise UnauthorizedError(
            f"The login at {saved['url']} has ended.", hint=f"Run `aicp login {saved['url']}` again{owner}."
        )


def connect(ctx: typer.Context) -> Client:
    """A client of the platform and with the credential that `find_credential` says."""
    target = target_of(ctx)
    found = find_credential(target)
    return open_client(target, found.url, found.token)
