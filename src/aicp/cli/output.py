"""How commands print: tables for people, JSON for programs, errors with a hint."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel
from rich.console import Console
from rich.table import Table

from aicp.core.errors import AicpError

out = Console(soft_wrap=False, highlight=False)
err = Console(stderr=True, highlight=False)

EXIT_FAILED, EXIT_USAGE, EXIT_NOT_FOUND, EXIT_DENIED, EXIT_UNAVAILABLE = 1, 2, 3, 4, 5
_EXITS = {401: EXIT_DENIED, 403: EXIT_DENIED, 404: EXIT_NOT_FOUND, 503: EXIT_UNAVAILABLE}


def exit_code(error: AicpError) -> int:
    """1 failed, 3 not found, 4 not allowed, 5 the platform does not answer (2 is wrong usage)."""
    return _EXITS.get(error.status, EXIT_FAILED)


def print_error(error: AicpError) -> None:
    """What happened and why, then what to do."""
    err.print(f"[bold red]Error:[/] {_plain(error.message)}")
    if error.hint:
        err.print(f"[dim]{_plain(error.hint)}[/]")


def _plain(text: str) -> str:
    return text.replace("[", r"\[")


def as_data(value: Any) -> Any:
    """`value` as plain JSON data."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, list):
        return [as_data(item) for item in value]
    if isinstance(value, dict):
        return {name: as_data(item) for name, item in value.items()}
    return value


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(json.dumps(as_data(value), indent=2, ensure_ascii=False) + "\n")


def print_done(value: Any, sentence: str, *, as_json: bool) -> None:
    """What a change led to: the changed object for programs, a sentence for people."""
    if as_json:
        print_json(value)
    else:
        out.print(sentence, markup=False)


Column = tuple[str, Callable[[Any], Any]]


def print_table(items: Iterable[Any], columns: Sequence[Column], *, empty: str) -> None:
    """A table of `items`, or the sentence `empty`, which names the next step."""
    rows = list(items)
    if not rows:
        out.print(empty)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title, _ in columns:
        table.add_column(title.upper(), overflow="fold")
    for row in rows:
        table.add_row(*(text_of(read(row)) for _, read in columns))
    out.print(table)


def print_facts(facts: Sequence[tuple[str, Any]]) -> None:
    """One fact a line."""
    width = max(len(name) for name, _ in facts)
    for name, value in facts:
        out.print(f"[bold]{name:<{width}}[/]  {_plain(text_of(value))}")


def text_of(value: Any) -> str:
    """A value as people read it."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(text_of(item) for item in value) or "-"
    return str(value)
