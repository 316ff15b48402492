"""Which platform a command talks to and with which credential."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from aicp.client.rest import Client
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
    """What `aicp login` kept: url and token, and ca when one was given."""
    try:
        return json.loads(LOGIN_FILE.read_text())
    except (OSError, ValueError):
        return {}


def open_client(target: Target, url: str, token: str | None) -> Client:
    """A client that believes --ca, else the file that the login at `url` named, else this machine's own certificate."""
    saved = saved_login()
    kept = saved.get("ca") if saved.get("url") == url.rstrip("/") else None
    ca = target.ca or (Path(kept) if kept else None)
    renew = target.local_token if token and token == target.local_token() else None  # it changes at every start
    return Client(url, token, ca=ca, pin=None if ca else local_pin(target.data_dir, url), renew=renew)


def connect(ctx: typer.Context) -> Client:
    """A client by flag or environment, else the platform on this machine, else the saved login."""
    target = target_of(ctx)
    saved = saved_login()
    if target.url:
        token = target.token or (saved.get("token") if saved.get("url") == target.url.rstrip("/") else None)
        # The local admin's token is for the platform on this machine alone.
        local_only = target.local_token() if target.url.rstrip("/") == target.local_url().rstrip("/") else None
        return open_client(target, target.url, token or local_only)
    local = target.local_token()
    if target.token or local:
        return open_client(target, target.local_url(), target.token or local)
    if saved:
        return open_client(target, saved["url"], saved["token"])
    raise UnauthorizedError(
        f"There is no platform under {target.data_dir} that this user may use, and no saved login.",
        hint="Start one with `aicp up`, or run `aicp login URL`.",
    )
