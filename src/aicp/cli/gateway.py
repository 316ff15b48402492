"""`aicp gateway`: the gateway alone, from a file."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from aicp.core.errors import InvalidError
from aicp.security.keys import make_key


def gateway(
    config: Annotated[Path | None, typer.Option(help="Routes, keys and limits; see the guide.")] = None,
    new_key: Annotated[bool, typer.Option("--new-key", help="Print a key for the file, and nothing else.")] = False,
) -> None:
    """Serve given upstreams from a file, without a platform; runs until Ctrl-C."""
    if new_key:
        return typer.echo(make_key().secret)
    if config is None:
        raise InvalidError("Which file?", hint="aicp gateway --config gateway.yaml")
    os.execv(sys.executable, [sys.executable, "-m", "aicp.main.standalone", str(config)])
    return None
