"""Writes docs/reference/cli.md from the commands themselves. `--check` fails when the file is stale."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import typer.core
import typer.main

from aicp.cli.app import app

TARGET = Path(__file__).parent.parent / "docs" / "reference" / "cli.md"
_HEAD = """# Commands

Generated from the program (`make docs`). Every command has `--help`; lists and objects take `--json`; long work takes
`--no-wait`. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 not allowed, 5 the platform does not answer,
130 interrupted.
`aicp --install-completion` sets up completion for the shell.
"""


def _commands(command: Any, words: list[str]) -> list[tuple[list[str], Any]]:
    if not isinstance(command, typer.core.TyperGroup):
        return [(words, command)]
    found = [(words, command)] if command.invoke_without_command and len(words) > 1 else []
    for name in sorted(command.commands):
        found += _commands(command.commands[name], [*words, name])
    return found


def _row(parameter: Any) -> str | None:
    if not isinstance(parameter, typer.core.TyperOption) or parameter.hidden or "--help" in parameter.opts:
        return None
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    variable = f" (`{parameter.envvar}`)" if parameter.envvar else ""
    return f"| {names}{variable} | {parameter.help or ''} |"


def _section(words: list[str], command: Any) -> str:
    arguments = [p for p in command.params if isinstance(p, typer.core.TyperArgument)]
    usage = " ".join(
        [*words, *((a.name or "").upper() if a.required else f"[{(a.name or '').upper()}]" for a in arguments)]
    )
    lines = [f"## `{usage}`", "", (command.help or "").split("\n")[0]]
    rows = [row for row in map(_row, command.params) if row]
    if rows:
        lines += ["", "| option | meaning |", "|---|---|", *rows]
    return "\n".join(lines)


def text() -> str:
    """The whole document."""
    root = typer.main.get_command(app)
    assert isinstance(root, typer.core.TyperGroup)
    before = [row for row in map(_row, root.params) if row]
    parts = [_HEAD, "## Before the command", "", "| option | meaning |", "|---|---|", *before, ""]
    sections = [_section(words, command) for words, command in _commands(root, ["aicp"])]
    return "\n".join(parts) + "\n" + "\n\n".join(sections) + "\n"


def main() -> int:
    """Writes the file, or compares it."""
    wanted = text()
    if "--check" in sys.argv:
        stale = not TARGET.exists() or TARGET.read_text() != wanted
        if stale:
            print(f"{TARGET.name} is stale; run `make docs`", file=sys.stderr)
        return 1 if stale else 0
    TARGET.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
