"""`aicp request` and `aicp request-log`: single requests, their bodies, and what projects keep of them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer
from pydantic import ValidationError

from aicp.cli.connection import JsonFlag, YesFlag, connect
from aicp.cli.output import out, print_done, print_facts, print_json, print_table
from aicp.client.rest import Client
from aicp.core.errors import InvalidError
from aicp.core.money import amount_text
from aicp.core.request_log import (
    Bodies,
    KeptBody,
    LoggedRequest,
    Redactor,
    RequestLogRule,
    RequestLogRuleSet,
    RequestQuery,
)
from aicp.core.usage import Outcome

app = typer.Typer(no_args_is_help=True, help="Single requests: find one, see what became of it and what it said.")
log_app = typer.Typer(no_args_is_help=True, help="What projects keep of their requests beyond the facts.")


@app.command("list")
def list_requests(
    ctx: typer.Context,
    request_id: Annotated[str | None, typer.Option("--id", help="The beginning of its id.")] = None,
    project: str | None = None,
    key: Annotated[str | None, typer.Option(help="Id of one API key.")] = None,
    service: Annotated[str | None, typer.Option(help="Name of the model that answered.")] = None,
    outcome: Outcome | None = None,
    status: Annotated[int | None, typer.Option(min=100, max=599, help="HTTP status of the answer.")] = None,
    tag: Annotated[str | None, typer.Option(help="A tag of the key.")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only what did not go well.")] = False,
    with_body: Annotated[bool, typer.Option("--with-body", help="Only requests whose bodies are kept.")] = False,
    since: Annotated[datetime | None, typer.Option(help="From then on, local time.")] = None,
    until: Annotated[datetime | None, typer.Option(help="Before then, local time.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    json_: JsonFlag = False,
) -> None:
    """List single requests, newest first."""
    client = connect(ctx)
    which = RequestQuery(
        request_id=request_id,
        project=project,
        api_key_id=key,
        service=service,
        outcome=outcome,
        status=status,
        tag=tag,
        failed=failed,
        with_body=with_body,
        since=since.astimezone() if since else None,
        until=until.astimezone() if until else None,
    )
    found = client.requests.list(which, limit=limit)
    if json_:
        return print_json(found)
    print_table(
        found,
        [
            ("at", lambda r: r.started_at),
            ("id", lambda r: r.request_id),
            ("model", lambda r: r.service),
            ("key", lambda r: r.api_key_id),
            ("outcome", lambda r: r.outcome),
            ("status", lambda r: r.status),
            ("in", lambda r: r.prompt_tokens),
            ("out", lambda r: r.completion_tokens),
            ("ms", lambda r: r.duration_ms),
            ("body", lambda r: r.has_body),
        ],
        empty="No requests match.",
    )


@app.command()
def show(
    ctx: typer.Context,
    request_id: str,
    body: Annotated[bool, typer.Option("--body", help="What was asked and answered, where that is kept.")] = False,
    json_: JsonFlag = False,
) -> None:
    """Show one request: its times, tokens and cost, and with --body what it said. Who reads that is audited."""
    client = connect(ctx)
    if body:
        bodies = client.requests.bodies(request_id)
        if json_:
            return print_json(bodies)
        _print_body("Request", bodies.request)
        return _print_body("Answer", bodies.answer)
    request = client.requests.get(request_id)
    if json_:
        return print_json(request)
    _print_request(client, request)


@log_app.command("list")
def list_rules(ctx: typer.Context, json_: JsonFlag = False) -> None:
    """List the projects of which somebody has said what they keep."""
    rules = connect(ctx).requests.rules()
    if json_:
        return print_json(rules)
    print_table(
        rules,
        [
            ("project", lambda r: r.project),
            ("bodies", lambda r: r.bodies),
            ("share", lambda r: r.share),
            ("taken out", lambda r: r.redact),
            ("days", lambda r: r.retention_days),
            ("since", lambda r: r.set_at),
            ("by", lambda r: r.set_by),
        ],
        empty="No project keeps bodies of its requests. `aicp request-log set PROJECT --bodies errors` begins.",
    )


@log_app.command("show")
def show_rule(ctx: typer.Context, project: str, json_: JsonFlag = False) -> None:
    """Show what a project keeps of its requests."""
    rule = connect(ctx).requests.rule(project)
    if json_:
        return print_json(rule)
    print_facts(
        [
            ("bodies", rule.bodies),
            ("share", rule.share),
            ("taken out", rule.redact),
            ("own patterns", rule.patterns),
            ("bytes of each", rule.max_body_bytes),
            ("days", rule.retention_days),
            ("since", rule.set_at),
            ("by", rule.set_by),
        ]
    )


@log_app.command("set")
def set_rule(
    ctx: typer.Context,
    project: str,
    bodies: Annotated[Bodies | None, typer.Option(help="Of which requests they are kept.")] = None,
    share: Annotated[float | None, typer.Option(min=0, max=1, help="Of those requests, drawn by chance.")] = None,
    redact: Annotated[
        list[Redactor] | None, typer.Option(help="What is taken out, repeat for several; secrets always are.")
    ] = None,
    patterns: Annotated[
        list[str] | None, typer.Option("--pattern", help="Own regular expression to take out; repeat for several.")
    ] = None,
    max_body_bytes: Annotated[int | None, typer.Option(min=256, help="Of each body; the rest is cut off.")] = None,
    retention_days: Annotated[
        int | None, typer.Option(min=1, max=365, help="Bodies are deleted after so long.")
    ] = None,
    json_: JsonFlag = False,
) -> None:
    """Set what a project keeps of its requests from now on; what is not given stays as it is."""
    client = connect(ctx)
    changes = {
        "bodies": bodies,
        "share": share,
        "redact": redact,
        "patterns": patterns,
        "max_body_bytes": max_body_bytes,
        "retention_days": retention_days,
    }
    rule = _change(client, project, {name: value for name, value in changes.items() if value is not None})
    print_done(rule, _sentence(rule), as_json=json_)


@log_app.command()
def off(ctx: typer.Context, project: str, json_: JsonFlag = False) -> None:
    """Keep no bodies any more; those that are kept stay until their days end."""
    rule = _change(connect(ctx), project, {"bodies": Bodies.OFF})
    print_done(rule, _sentence(rule), as_json=json_)


@log_app.command()
def delete(ctx: typer.Context, project: str, yes: YesFlag = False, json_: JsonFlag = False) -> None:
    """Keep no bodies any more and delete those that are kept."""
    if not yes:
        typer.confirm(f"Delete all bodies that are kept of requests of {project}?", abort=True)
    connect(ctx).requests.delete_rule(project)
    print_done({"removed": project}, f"{project} keeps nothing of its requests but their facts.", as_json=json_)


def _change(client: Client, project: str, changes: dict[str, object]) -> RequestLogRule:
    present = client.requests.rule(project)
    values = {name: getattr(present, name) for name in RequestLogRuleSet.model_fields}
    try:
        wanted = RequestLogRuleSet.model_validate(values | changes)
    except ValidationError as error:
        problem = error.errors()[0]
        raise InvalidError(f"The setting {problem['loc'][0]} is wrong: {problem['msg']}.") from error
    return client.requests.set_rule(project, wanted)


def _sentence(rule: RequestLogRule) -> str:
    if rule.bodies is Bodies.OFF:
        return f"{rule.project} keeps no bodies of its requests."
    which = "all requests" if rule.bodies is Bodies.ALL else "requests that fail"
    return f"{rule.project} keeps bodies of {which} for {rule.retention_days} days."


def _print_request(client: Client, request: LoggedRequest) -> None:
    cost = request.cost_micros
    print_facts(
        [
            ("at", request.started_at),
            ("outcome", request.outcome),
            ("status", request.status),
            ("project", request.project),
            ("key", request.api_key_id),
            ("model", request.service),
            ("replica", request.replica_id),
            ("endpoint", request.endpoint),
            ("stream", request.stream),
            ("waited ms", request.queue_ms),
            ("first token ms", request.ttft_ms),
            ("whole ms", request.duration_ms),
            ("input tokens", request.prompt_tokens),
            ("of them cached", request.cached_tokens),
            ("output tokens", request.completion_tokens),
            (f"cost {client.prices.currency()}", "no price" if cost is None else amount_text(cost)),
            ("body", "kept; --body shows it" if request.has_body else None),
        ]
    )


def _print_body(title: str, body: KeptBody) -> None:
    cut = ", its end is missing" if body.cut else ""
    out.print(f"{title}: {body.kind or 'nothing'}, {body.bytes:,} bytes{cut}", style="bold", markup=False)
    if body.text is not None:
        out.print(body.text, markup=False, soft_wrap=True)
