"""`aicp cache`: which answers are kept and given again, and what came of it."""

from __future__ import annotations

from typing import Annotated

import typer
from pydantic import ValidationError

from aicp.cli.connection import JsonFlag, YesFlag, connect
from aicp.cli.output import print_done, print_json, print_table
from aicp.cli.records import Since, Until
from aicp.core.cache_rule import CacheMode, CacheRuleSet, CacheStats
from aicp.core.errors import InvalidError

app = typer.Typer(no_args_is_help=True, help="Answers that are kept and given again: list, set, clear, delete, stats.")
Project = Annotated[str, typer.Option(help="The project whose answers are kept; no other one gets them.")]
Model = Annotated[str, typer.Argument(help="Public model name.")]


@app.command("list")
def list_rules(
    ctx: typer.Context,
    project: Annotated[str | None, typer.Option(help="Of this project only.")] = None,
    search: Annotated[str | None, typer.Option(help="A part of the model's or project's name.")] = None,
    json_: JsonFlag = False,
) -> None:
    """List rules. Where there is none nothing is kept."""
    found = connect(ctx).cache_rules.list(project=project, search=search)
    if json_:
        return print_json(found)
    print_table(
        found,
        [
            ("project", lambda r: r.project),
            ("model", lambda r: r.model),
            ("mode", lambda r: r.mode.value),
            ("seconds", lambda r: r.ttl_seconds),
            ("embedding model", lambda r: r.embedding_model),
            ("threshold", lambda r: r.threshold if r.embedding_model else None),
            ("most entries", lambda r: r.max_entries),
            ("set", lambda r: r.set_at),
            ("by", lambda r: r.set_by),
        ],
        empty="No rules yet, so no answer is kept. Set one with `aicp cache set MODEL`.",
    )


@app.command("set")
def set_rule(
    ctx: typer.Context,
    model: Model,
    project: Project = "default",
    mode: Annotated[CacheMode, typer.Option(help="`measure` only counts what likeness would answer.")] = CacheMode.ON,
    ttl_seconds: Annotated[int, typer.Option("--ttl-seconds", help="How long an answer is given again.")] = 3600,
    embedding_model: Annotated[
        str | None,
        typer.Option("--embedding-model", help="Says which questions are alike; else only the very same are answered."),
    ] = None,
    threshold: Annotated[float, typer.Option(help="Least cosine of questions that are alike.")] = 0.95,
    max_entries: Annotated[int, typer.Option("--max-entries", help="Answers kept by one gateway.")] = 10_000,
    any_temperature: Annotated[
        bool, typer.Option("--any-temperature", help="Keep answers of requests that do not say temperature 0, too.")
    ] = False,
    json_: JsonFlag = False,
) -> None:
    """Keep a project's answers of a model from now on."""
    try:
        wanted = CacheRuleSet(
            mode=mode,
            ttl_seconds=ttl_seconds,
            embedding_model=embedding_model,
            threshold=threshold,
            max_entries=max_entries,
            any_temperature=any_temperature,
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidError(f"--{str(first['loc'][0]).replace('_', '-')}: {first['msg']}.") from error
    rule = connect(ctx).cache_rules.set(project, model, wanted)
    print_done(rule, f"Answers of {model} in project {project}: cache {rule.mode.value}.", as_json=json_)


@app.command("delete")
def delete_rule(
    ctx: typer.Context, model: Model, project: Project = "default", yes: YesFlag = False, json_: JsonFlag = False
) -> None:
    """Keep nothing any more; what was kept is thrown away."""
    if not yes:
        typer.confirm(f"Delete the cache rule of {model} in project {project}? What it keeps is lost.", abort=True)
    connect(ctx).cache_rules.delete(project, model)
    print_done({"removed": model}, f"No answer of {model} is kept in project {project} any more.", as_json=json_)


@app.command("clear")
def clear_cache(
    ctx: typer.Context, model: Model, project: Project = "default", yes: YesFlag = False, json_: JsonFlag = False
) -> None:
    """Throw away what was kept so far; new answers are kept again."""
    if not yes:
        typer.confirm(f"Throw away the answers of {model} that are kept for project {project}?", abort=True)
    rule = connect(ctx).cache_rules.invalidate(project, model)
    print_done(rule, f"The kept answers of {model} in project {project} are gone.", as_json=json_)


@app.command("stats")
def cache_stats(
    ctx: typer.Context,
    project: Annotated[str | None, typer.Option(help="Of this project only.")] = None,
    since: Since = None,
    until: Until = None,
    json_: JsonFlag = False,
) -> None:
    """Show hits, tokens saved, and what was measured."""
    zoned = [one.astimezone() if one else None for one in (since, until)]
    found = connect(ctx).cache_rules.stats(project=project, since=zoned[0], until=zoned[1])
    if json_:
        return print_json(found)
    print_table(
        found,
        [
            ("project", lambda s: s.project),
            ("model", lambda s: s.model),
            ("lookups", lambda s: s.lookups),
            ("exact", lambda s: s.exact_hits),
            ("semantic", lambda s: s.semantic_hits),
            ("hit rate", lambda s: _share(s.exact_hits + s.semantic_hits, s.lookups)),
            ("saved tokens", lambda s: s.saved_tokens),
            ("agreed", lambda s: s.agreed),
            ("disagreed", lambda s: s.disagreed),
            ("false hits", _false_hits),
            ("gated", lambda s: s.gated),
        ],
        empty="No request was looked up in a cache yet.",
    )


def _false_hits(stats: CacheStats) -> str | None:
    return _share(stats.disagreed, stats.agreed + stats.disagreed)


def _share(part: int, whole: int) -> str | None:
    return f"{part / whole:.1%}" if whole else None
