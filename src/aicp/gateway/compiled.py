"""The gateway's busiest modules in a compiled form, where there is one that was made of exactly these sources.

`tools/compile_gateway.py` makes it, with mypyc, out of the same files; see docs/decisions/0004-compiled-gateway.md.
Both forms do the same. A changed source has another fingerprint, so what was compiled before is left aside at once.
"""

from __future__ import annotations

import sys
from collections.abc import MutableSequence
from hashlib import sha256
from pathlib import Path

MODULES = (
    "accounts",
    "admission",
    "answer",
    "api_keys",
    "bodies",
    "calls",
    "client_connection",
    "continued_stream",
    "endpoints",
    "engine_caches",
    "exchange",
    "gateway",
    "http",
    "key_rules",
    "leased",
    "limits",
    "links",
    "meter",
    "metrics",
    "outbox",
    "pools",
    "prefixes",
    "priorities",
    "prompts",
    "queues",
    "replicas",
    "requests",
    "routes",
    "routing",
    "site",
    "speeds",
    "streams",
    "tokens",
    "upstream",
    "usage",
    "visits",
)
"""What every request passes through."""
_PACKAGE = Path(__file__).parent
_SEEN = ("gateway", "core", "security")
"""Folders whose types are part of what is compiled."""


def home() -> Path:
    """Where compiled forms lie, a folder for each fingerprint: in the environment that they were made for."""
    return Path(sys.prefix) / "lib" / "aicp-gateway"


def fingerprint() -> str:
    """Of all sources that count, and of the interpreter."""
    digest = sha256(sys.version.encode())
    for folder in _SEEN:
        for source in sorted((_PACKAGE.parent / folder).glob("*.py")):
            digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def use(path: MutableSequence[str]) -> bool:
    """Puts the compiled form before the sources in `path`, a package's. False when there is none of these sources."""
    made = home()
    found = made / fingerprint() if made.is_dir() else made
    if not (found / "complete").exists():
        return False
    sys.path.append(str(found))  # what the modules share
    path.insert(0, str(found / "aicp" / "gateway"))
    return True
