"""`aicp usage` and `aicp audit`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from aicp.cli.connection import JsonFlag, connect
from aicp.cli.output import print_json, print_table


def usage(
    ctx: typer.Context,
    group_by: Annotated[str, typer.Option(help="key, project, service, day or hour.")] = "service",
    requests: Annotated[bool, typer.Option("--requests", help="Single requests, newest first.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="All requests as CSV.")] = False,
    json_: JsonFlag = False,
) -> None:
    """Show metered use."""
    records = connect(ctx).records
    if csv:
        typer.echo(records.usage_csv(), nl=False)
        return
    if requests:
        rows = records.usage()
        if json_:
            return print_json(rows)
        return print_table(
            rows,
            [
                ("at", lambda r: r.started_at),
                ("service", lambda r: r.service),
                ("key", lambda r: r.api_key_id),
                ("outcome", lambda r: r.outcome),
                ("in", lambda r: r.prompt_tokens),
                ("out", lambda r: r.completion_tokens),
                ("ttft ms", lambda r: r.ttft_ms),
                ("ms", lambda r: r.duration_ms),
            ],
            empty="No requests yet.",
        )
    summary = records.usage_summary(group_by=group_by)
    if json_:
        return print_json(summary)
    print_table(
        summary,
        [
            (group_by, lambda r: ", ".join(r.group.values())),
            ("requests", lambda r: r.requests),
            ("errors", lambda r: r.errors),
            ("prompt tokens", lambda r: r.prompt_tokens),
            ("completion tokens", lambda r: r.completion_tokens),
        ],
        empty="No traffic yet.",
    )


def audit(
    ctx: typer.Context,
    actor: Annotated[str | None, typer.Option(help="Name of the user.")] = None,
    action: Annotated[str | None, typer.Option(help="Such as service.create.")] = None,
    kind: Annotated[str | None, typer.Option(help="Kind of the object, such as service or key.")] = None,
    name: Annotated[str | None, typer.Option(help="Whole name or id of the object.")] = None,
    project: Annotated[str | None, typer.Option(help="Only in this project.")] = None,
    search: Annotated[str | None, typer.Option(help="Part of object, message, actor or action.")] = None,
    since: Annotated[datetime | None, typer.Option(help="From this moment on, local time.")] = None,
    until: Annotated[datetime | None, typer.Option(help="Before this moment, local time.")] = None,
    refused: Annotated[bool, typer.Option("--refused", help="Only what was refused.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many at most, newest first.")] = 50,
    csv: Annotated[bool, typer.Option("--csv", help="All that match, as CSV.")] = False,
    json_: JsonFlag = False,
) -> None:
    """Show who changed what."""
    records = connect(ctx).records
    filters = {
        "actor": actor,
        "action": action,
        "kind": kind,
        "name": name,
        "project": project,
        "search": search,
        "since": since and since.astimezone(),
        "until": until and until.astimezone(),
        "severity": "warning" if refused else None,
    }
    if csv:
        typer.echo(records.audit_csv(**filters), nl=False)
        return
    events = records.audit(limit=limit, **filters)
    if json_:
        return print_json(events)
    print_table(
        events,
        [
            ("at", lambda e: e.at),
            ("who", lambda e: e.actor),
            ("action", lambda e: e.action),
            ("object", lambda e: f"{e.object_kind} {e.object_name}"),
            ("what", lambda e: e.message),
            ("from", lambda e: e.address),
        ],
        empty="No audit entries match.",
    )
