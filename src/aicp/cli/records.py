"""`aicp usage` and `aicp audit`."""

from __future__ import annotations

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
    actor: str | None = None,
    action: str | None = None,
    limit: int = 50,
    json_: JsonFlag = False,
) -> None:
    """Show who changed what."""
    events = connect(ctx).records.audit(limit=limit, actor=actor, action=action)
    if json_:
        return print_json(events)
    print_table(
        events,
        [
            ("at", lambda e: e.at),
            ("who", lambda e: e.actor),
            ("action", lambda e: e.action),
            ("object", lambda e: f"{e.object_kind} {e.object_name}"),
            ("from", lambda e: e.address),
        ],
        empty="No audit entries match.",
    )
