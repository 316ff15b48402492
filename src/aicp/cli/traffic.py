"""`aicp traffic` and `aicp key use`: what goes on at the gateways at the moment."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Annotated

import typer

from aicp.cli.connection import JsonFlag, connect
from aicp.cli.output import out, print_json, print_table, text_of
from aicp.core.traffic import LimitUse, Traffic, UsedLimit

_PAUSE_SECONDS = 2.0


def traffic(
    ctx: typer.Context,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show it anew every two seconds.")] = False,
    json_: JsonFlag = False,
) -> None:
    """Show what goes on: requests, errors, tokens and times to first token of the last minute, what runs and waits."""
    client = connect(ctx)
    _show(client.traffic.now(), json_)
    with suppress(KeyboardInterrupt):
        while watch:
            time.sleep(_PAUSE_SECONDS)
            found = client.traffic.now()
            if not json_:
                out.clear()
            _show(found, json_)


def _show(found: Traffic, json_: bool) -> None:
    if json_:
        return print_json(found)
    print_table(
        found.services,
        [
            ("service", lambda r: r.service),
            ("class", lambda r: r.priority.value),
            ("req/s", lambda r: f"{r.requests_per_second:.1f}"),
            ("err/s", lambda r: f"{r.errors_per_second:.1f}"),
            ("in/s", lambda r: f"{r.prompt_tokens_per_second:.0f}"),
            ("out/s", lambda r: f"{r.completion_tokens_per_second:.0f}"),
            ("p50 ms", lambda r: _ms(r.ttft_ms_p50)),
            ("p95 ms", lambda r: _ms(r.ttft_ms_p95)),
            ("run", lambda r: r.running),
            ("wait", lambda r: r.waiting),
        ],
        empty="Nothing was asked in the last minute." if found.gateways else "No gateway answers; see `aicp status`.",
    )
    if found.routes:
        out.print()
        print_table(
            found.routes,
            [("route", lambda r: r.route), ("places used", lambda r: r.used), ("of", lambda r: r.places)],
            empty="",
        )


def key_use(
    ctx: typer.Context,
    key: Annotated[list[str] | None, typer.Argument(help="Ids of keys; else all that have limits.")] = None,
    project: Annotated[str | None, typer.Option(help="Only this one and its keys.")] = None,
    json_: JsonFlag = False,
) -> None:
    """Show how much of their limits and budgets keys, projects and organizations use at the moment."""
    found = connect(ctx).traffic.limits(project=project, api_key_id=key or [])
    if json_:
        return print_json(found)
    print_table(
        [(of, limit) for of in found for limit in of.limits],
        [
            ("of", lambda row: _whose(row[0])),
            ("limit", lambda row: row[1].limit),
            ("used", lambda row: _number(row[1].used)),
            ("most", lambda row: _number(row[1].most)),
            ("share", lambda row: _share(row[1])),
        ],
        empty="Nothing has a limit. Set one with `aicp key update KEY --limit rpm=60`.",
    )


def _whose(of: LimitUse) -> str:
    return f"{of.scope.value} {of.name}" + (f" ({of.id})" if of.id != of.name else "")


def _share(limit: UsedLimit) -> str:
    return text_of(None) if limit.used is None else f"{limit.used / limit.most:.0%}"


def _ms(value: float | None) -> str:
    return text_of(None) if value is None else f"{value:.0f}"


def _number(value: float | None) -> str:
    return text_of(None) if value is None else f"{value:.15g}"
