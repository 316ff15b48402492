"""Which platform a command talks to and with which credential."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from aicp.client.rest import Client
from aicp.core.errors import UnauthorizedError

DEFAULT_PORT = 8600
LOGIN_FILE = Path(typer.get_app_dir("aicp")) / "login.json"

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
WaitFlag = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the end and show progress.")]
YesFlag = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@dataclass(frozen=True, slots=True)
class Target:
    """The options given before the command."""

    url: str | None
    token: str | None
    data_dir: Path
    port: int | None

    def endpoints(self) -> dict[str, str]:
        """What the platform on this machine wrote of its addresses: console_url and gateway_url."""
        path = self.data_dir / "run" / "endpoints.json"
        return json.loads(path.read_text()) if path.is_file() else {}

    def local_url(self) -> str:
        """Address of the platform on this machine."""
        if self.port is not None:
            return f"http://127.0.0.1:{self.port}"
        return self.endpoints().get("console_url") or f"http://127.0.0.1:{DEFAULT_PORT}"

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
    """What `aicp login` kept: url and token."""
    try:
        return json.loads(LOGIN_FILE.read_text())
    except (OSError, ValueError):
        return {}


def connect(ctx: typer.Context) -> Client:
    """A client by flag or environment, else the platform on this machine, else the saved login."""
    target = target_of(ctx)
    saved = saved_login()
    if target.url:
        token = target.token or (saved.get("token") if saved.get("url") == target.url.rstrip("/") else None)
        # The local admin's token is for the platform on this machine alone.
        local_only = target.local_token() if target.url.rstrip("/") == target.local_url().rstrip("/") else None
        return Client(target.url, token or local_only)
    local = target.local_token()
    if target.token or local:
        return Client(target.local_url(), target.token or local)
    if saved:
        return Client(saved["url"], saved["token"])
    raise UnauthorizedError(
        f"There is no platform under {target.data_dir} that this user may use, and no saved login.",
        hint="Start one with `aicp up`, or run `aicp login URL`.",
    )
