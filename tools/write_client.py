"""Writes docs/reference/client.md from the Python client itself. `--check` fails when the file is stale."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aicp.client.rest import Client
from aicp.core.event import EventQuery
from aicp.core.usage import UsageQuery

TARGET = Path(__file__).parent.parent / "docs" / "reference" / "client.md"
_FILTER = re.compile(r"(\w+Query)\([^)]*\)")
_HEAD = """# Python client

Generated from the program (`make docs`). `from aicp.client.rest import Client`; how to begin stands in
[Automate](../guides/automate.md). Every method raises an `AicpError` (`aicp.core.errors`) with `message`, `hint`,
`code` and `status`. The values are the models of `aicp.core`; their fields are those of [openapi.json](openapi.json).
"""


def _methods(owner: type[Any]) -> Iterator[tuple[str, Any]]:
    for name, found in vars(owner).items():
        if not name.startswith("_") and isinstance(found, classmethod):
            yield name, found.__func__
        elif not name.startswith("_") and inspect.isfunction(found):
            yield name, found


def _row(name: str, method: Any) -> str:
    signature = inspect.signature(method)
    shown = str(signature.replace(parameters=list(signature.parameters.values())[1:]))
    shown = _FILTER.sub(r"\1()", shown.replace("builtins.", "").replace("'", "")).replace("|", r"\|")
    return f"| `{name}{shown}` | {' '.join((inspect.getdoc(method) or '').split())} |"


def _table(owner: type[Any]) -> list[str]:
    rows = [_row(name, method) for name, method in _methods(owner)]
    return ["| method | meaning |", "|---|---|", *rows, ""]


def _fields(kind: type[Any]) -> list[str]:
    fields = ", ".join(f"`{name}`" for name in kind.__dataclass_fields__)
    return [f"`{kind.__module__}.{kind.__name__}`: {fields}. {inspect.getdoc(kind)}", ""]


def text() -> str:
    """The whole document."""
    lines = [_HEAD, "## `Client`", "", inspect.getdoc(Client) or "", "", *_table(Client)]
    with Client("http://127.0.0.1") as client:
        sections = {name: type(part) for name, part in vars(client).items() if name != "transport"}
    for name, owner in sections.items():
        lines += [f"## `client.{name}`", "", inspect.getdoc(owner) or "", "", *_table(owner)]
    for kind in (UsageQuery, EventQuery):
        lines += _fields(kind)
    return "\n".join(lines).rstrip() + "\n"


def main() -> int:
    """Writes the file, or compares it."""
    wanted = text()
    if "--check" in sys.argv:
        stale = not TARGET.exists() or TARGET.read_text("utf-8") != wanted
        if stale:
            print(f"{TARGET.name} is stale; run `make docs`", file=sys.stderr)
        return 1 if stale else 0
    TARGET.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
