"""`aicp usage`, `aicp audit`, `aicp events`, `aicp metrics` and `aicp overview`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Literal

import typer

from aicp.cli.connection import JsonFlag, connect
from aicp.cli.output import out, print_facts, print_json, print_table, text_of
from aicp.core.errors import InvalidError
from aicp.core.event import Event, EventQuery
from aicp.core.money import amount_text
from aicp.core.overview import OverviewFigure
from aicp.core.quantity import format_bytes
from aicp.core.usage import Outcome, UsageQuery, UsageRecord

Since = Annotated[datetime | None, typer.Option(help="From then on, local time.")]
Until = Annotated[datetime | None, typer.Option(help="Before then, local time.")]
Limit = Annotated[int, typer.Option(min=1, max=500, help="At most so many.")]
AnyLimit = Annotated[int, typer.Option(min=1, help="At most so many.")]
Offset = Annotated[int, typer.Option(min=0, help="After so many.")]


def _zoned(local: datetime | None) -> datetime | None:
    return local.astimezone() if local else None


def usage(
    ctx: typer.Context,
    group_by: Annotated[
        list[str] | None, typer.Option(help="key, tag, project, service, day or hour; repeat for several.")
    ] = None,
    project: str | None = None,
    service: str | None = None,
    key: Annotated[str | None, typer.Option(help="Id of one API key.")] = None,
    outcome: Annotated[Outcome | None, typer.Option(help="Of single requests (--requests, --csv).")] = None,
    since: Since = None,
    until: Until = None,
    requests: Annotated[bool, typer.Option("--requests", help="Single requests, newest first.")] = False,
    limit: Limit = 100,
    offset: Offset = 0,
    csv: Annotated[bool, typer.Option("--csv", help="All single requests as CSV.")] = False,
    json_: JsonFlag = False,
) -> None:
    """Show metered use: sums, or single requests."""
    groups = group_by or ["service"]
    if outcome and not (requests or csv):
        raise InvalidError("--outcome is for single requests.", hint="Add --requests or --csv.")
    client = connect(ctx)
    records = client.records
    which = UsageQuery(
        project=project, api_key_id=key, service=service, outcome=outcome, since=_zoned(since), until=_zoned(until)
    )
    if csv:
        for line in records.usage_csv(which):
            typer.echo(line)
        return
    if requests:
        rows = records.usage(which, limit=limit, offset=offset)
        return print_json(rows) if json_ else _print_requests(rows, client.prices.currency())
    summary = records.usage_summary(which, group_by=groups)
    if json_:
        return print_json(summary)
    currency = client.prices.currency()
    print_table(
        summary,
        [
            *((group, lambda r, group=group: r.group.get(group)) for group in groups),
            ("requests", lambda r: r.requests),
            ("errors", lambda r: r.errors),
            ("prompt tokens", lambda r: r.prompt_tokens),
            ("completion tokens", lambda r: r.completion_tokens),
            (f"cost {currency}", lambda r: _cost(r.cost_micros)),
            ("without a price", lambda r: r.unpriced),
        ],
        empty="No traffic yet.",
    )


def _cost(micros: int | None) -> str:
    return "no price" if micros is None else amount_text(micros)


def _print_requests(rows: list[UsageRecord], currency: str) -> None:
    print_table(
        rows,
        [
            ("at", lambda r: r.started_at),
            ("service", lambda r: r.service),
            ("key", lambda r: r.api_key_id),
            ("outcome", lambda r: r.outcome),
            ("in", lambda r: r.prompt_tokens),
            ("out", lambda r: r.completion_tokens),
            (f"cost {currency}", lambda r: _cost(r.cost_micros)),
            ("ttft ms", lambda r: r.ttft_ms),
            ("ms", lambda r: r.duration_ms),
        ],
        empty="No requests yet.",
    )


Severity = Literal["info", "warning", "error"]
_Kind = Annotated[str | None, typer.Option(help="Kind of the object: service, model, key, ...")]
_Name = Annotated[str | None, typer.Option(help="Name of the object.")]
_Search = Annotated[str | None, typer.Option(help="A part of the text.")]
_Severity = Annotated[Severity | None, typer.Option(help="How grave; of an audit entry: warning when it was refused.")]


def audit(
    ctx: typer.Context,
    actor: str | None = None,
    action: str | None = None,
    kind: _Kind = None,
    name: _Name = None,
    project: str | None = None,
    search: _Search = None,
    severity: _Severity = None,
    since: Since = None,
    until: Until = None,
    limit: AnyLimit = 50,
    offset: Offset = 0,
    csv: Annotated[bool, typer.Option("--csv", help="All that match, as CSV.")] = False,
    json_: JsonFlag = False,
) -> None:
    """Show who changed what."""
    which = _events(actor, action, kind, name, project, search, severity, since, until)
    records = connect(ctx).records
    if csv:
        for line in records.audit_csv(which):
            typer.echo(line)
        return
    found = records.audit(which, limit=limit, offset=offset)
    print_json(found) if json_ else _print_events(found, "No audit entries match.")


def events(
    ctx: typer.Context,
    actor: str | None = None,
    action: str | None = None,
    kind: _Kind = None,
    name: _Name = None,
    project: str | None = None,
    search: _Search = None,
    severity: _Severity = None,
    since: Since = None,
    until: Until = None,
    limit: AnyLimit = 50,
    offset: Offset = 0,
    json_: JsonFlag = False,
) -> None:
    """Show what the platform saw and did by itself."""
    which = _events(actor, action, kind, name, project, search, severity, since, until)
    found = connect(ctx).records.events(which, limit=limit, offset=offset)
    print_json(found) if json_ else _print_events(found, "No events match.")


def _events(
    actor: str | None,
    action: str | None,
    kind: str | None,
    name: str | None,
    project: str | None,
    search: str | None,
    severity: Severity | None,
    since: datetime | None,
    until: datetime | None,
) -> EventQuery:
    objects = {"kind": kind, "name": name, "project": project, "severity": severity}
    return EventQuery(actor=actor, action=action, search=search, since=_zoned(since), until=_zoned(until), **objects)


def _print_events(found: list[Event], empty: str) -> None:
    print_table(
        found,
        [
            ("at", lambda e: e.at),
            ("who", lambda e: e.actor),
            ("action", lambda e: e.action),
            ("object", lambda e: f"{e.object_kind} {e.object_name}"),
            ("what", lambda e: e.message),
            ("from", lambda e: e.address),
        ],
        empty=empty,
    )


def metrics(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="E.g. requests_per_second, pool_accelerators_used.")],
    service: str | None = None,
    node: str | None = None,
    pool: str | None = None,
    since: Since = None,
    until: Until = None,
    step: Annotated[int | None, typer.Option(min=15, max=86400, help="Seconds that one point holds.")] = None,
    json_: JsonFlag = False,
) -> None:
    """Show what was measured, by default in the last hour; --json has every point."""
    found = connect(ctx).records.metrics(
        name, service=service, node=node, pool=pool, since=_zoned(since), until=_zoned(until), step=step
    )
    if json_:
        return print_json(found)
    print_table(
        [series for series in found if series.points],
        [
            ("of", lambda s: ", ".join(f"{label} {value}" for label, value in s.labels.items())),
            ("points", lambda s: len(s.points)),
            ("lowest", lambda s: min(value for _, value in s.points)),
            ("mean", lambda s: sum(value for _, value in s.points) / len(s.points)),
            ("highest", lambda s: max(value for _, value in s.points)),
            ("latest", lambda s: s.points[-1][1]),
        ],
        empty=f"Nothing was measured as {name} in that time.",
    )


def overview(ctx: typer.Context, json_: JsonFlag = False) -> None:
    """Show the figures of the console's first page."""
    found = connect(ctx).records.overview()
    if json_:
        return print_json(found)

    print_facts(
        [
            ("accelerators in use", _of(found.accelerators, text_of)),
            ("memory in use", _of(found.memory, lambda value: format_bytes(int(value)))),
            ("requests/s", _of(found.requests, text_of)),
            ("errors", _of(found.errors, lambda share: f"{share:.2%}")),
        ]
    )
    out.print()
    print_table(
        found.services,
        [
            ("service", lambda s: s.name),
            ("state", lambda s: s.state),
            ("requests/s", lambda s: s.requests_per_second),
            ("tokens/s", lambda s: s.tokens_per_second),
            ("ttft p99 ms", lambda s: s.ttft_ms_p99),
        ],
        empty="No services yet.",
    )


def _of(figure: OverviewFigure, words: Callable[[float], str]) -> str | None:
    now = None if figure.value is None else words(figure.value)
    return now if now is None or figure.total is None else f"{now} of {words(figure.total)}"
