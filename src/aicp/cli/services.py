"""`aicp service`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from aicp.cli.connection import JsonFlag, WaitFlag, YesFlag, connect
from aicp.cli.members import print_members
from aicp.cli.output import print_done, print_facts, print_json, print_table
from aicp.cli.progress import wait_for_service
from aicp.cli.publish import (
    CardsOption,
    ContextOption,
    CpuOption,
    DescriptionOption,
    DrainOption,
    MemoryOption,
    NodeLabelsOption,
    NodesOption,
    PreemptibleOption,
    PriorityOption,
    SliceOption,
    TolerateOption,
    UsersOption,
    VendorOption,
    VisibilityOption,
    bytes_of,
    given_of,
    labels_of,
    parse_flags,
    print_plan,
    slice_of,
    words_of,
)
from aicp.cli.scaling import (
    DownOption,
    IdleOption,
    KvOption,
    MaxOption,
    MaxWaitOption,
    MinOption,
    NoAutoscaleOption,
    NoWindowsOption,
    QueueOption,
    RunningOption,
    TtftOption,
    UpOption,
    WindowOption,
    scaling_of,
)
from aicp.cli.shares import devices_of
from aicp.core.autoscale import Autoscale
from aicp.core.errors import InvalidError
from aicp.core.quantity import format_bytes
from aicp.core.replica import Replica
from aicp.core.service import Mode, Service, ServiceSpec, ServiceState, ServiceUpdate

app = typer.Typer(no_args_is_help=True, help="Look at and change published services.")
_CHOSEN = {
    "context": "context_length",
    "users": "users",
    "engine": "engine",
    "engine-version": "engine_version",
    "cards": "accelerators",
    "slice": "slice",
    "vendor": "vendor",
    "node-labels": "node_labels",
    "tolerate": "tolerations",
    "cpu": "cpu_cores",
    "memory": "memory_bytes",
}
"""What the platform chooses when it is not asked for: the option, and the field of the spec."""


@app.command("list")
def list_services(
    ctx: typer.Context,
    project: str | None = None,
    state: ServiceState | None = None,
    mode: Mode | None = None,
    search: Annotated[str | None, typer.Option(help="A part of the name or description.")] = None,
    json_: JsonFlag = False,
) -> None:
    """List services with their states."""
    services = connect(ctx).services.list(project=project, state=state, mode=mode, search=search)
    if json_:
        return print_json(services)
    print_table(
        services,
        [
            ("name", lambda s: s.name),
            ("state", lambda s: s.state),
            ("model", lambda s: s.model_version),
            ("mode", lambda s: s.spec.mode),
            ("replicas", lambda s: f"{s.replicas_ready}/{s.replicas_wanted}"),
            ("engine", lambda s: f"{s.engine or '-'} {s.engine_version or ''}"),
            ("reason", lambda s: s.reason),
        ],
        empty="No services yet. Publish one with `aicp publish MODEL`.",
    )


@app.command()
def why(ctx: typer.Context, name: str, json_: JsonFlag = False) -> None:
    """Say why replicas of a service have no place yet, node by node."""
    waiting = connect(ctx).services.waiting(name)
    if json_:
        return print_json(waiting)
    for item in waiting:
        print_facts([("replica", item.replica), ("since", item.since), ("reason", item.reason)])
    print_table(
        [(item.replica, node) for item in waiting for node in item.nodes],
        [("replica", lambda row: row[0]), ("node", lambda row: row[1].node), ("why not", lambda row: row[1].reason)],
        empty=f"No replica of {name} {'is held back by a node' if waiting else 'waits for a place'}.",
    )


@app.command()
def show(ctx: typer.Context, name: str, json_: JsonFlag = False) -> None:
    """Show a service, its replicas and revisions."""
    client = connect(ctx)
    service, replicas = client.services.get(name), client.services.replicas(name)
    if json_:
        return print_json(
            {**service.model_dump(mode="json"), "replicas": [r.model_dump(mode="json") for r in replicas]}
        )
    print_facts(
        [
            ("name", service.name),
            ("state", f"{service.state}: {service.reason}"),
            ("model", service.model_version),
            ("engine", f"{service.engine} {service.engine_version}"),
            ("address", service.address),
            ("revision", f"{service.generation} (serving {service.serving_generation or '-'})"),
            ("replicas", f"{service.replicas_ready} of {service.replicas_wanted} ready"),
            ("priority", f"{service.spec.priority}{', makes room' if service.spec.preemptible else ''}"),
            *_scale_facts(service),
        ]
    )
    print_table(
        replicas,
        [
            ("replica", lambda r: r.id),
            ("revision", lambda r: r.generation),
            ("state", lambda r: r.state),
            ("node", lambda r: r.node),
            ("pid", lambda r: r.pid),
            ("devices", lambda r: devices_of(r)),
            ("memory", lambda r: format_bytes(r.memory_bytes) if r.memory_bytes else None),
            ("restarts", lambda r: r.restarts),
            ("reason", lambda r: r.reason),
        ],
        empty="No replicas.",
    )
    print_members(replicas)


def _scale_facts(service: Service) -> list[tuple[str, object]]:
    if (scale := service.scale) is None:
        return []
    said = f"{scale.wanted} wanted, {scale.min_replicas} to {scale.max_replicas} at this hour"
    wake = [] if scale.wake_seconds is None else [("wakes in", f"{scale.wake_seconds:g} s at most lately")]
    return [("scales itself", f"{said}: {scale.reason} ({scale.changed_at:%Y-%m-%d %H:%M:%S})"), *wake]


@app.command()
def replica(ctx: typer.Context, replica: str, json_: JsonFlag = False) -> None:
    """Show one replica, running or ended."""
    found: Replica = connect(ctx).services.replica(replica)
    if json_:
        return print_json(found)
    print_facts(
        [
            ("service", f"{found.service}, revision {found.generation}"),
            ("state", f"{found.state} {found.reason or ''}"),
            ("node", found.node),
            ("pid", found.pid),
            ("devices", devices_of(found)),
            ("limits", "; ".join(found.limits) or None),
            ("memory", format_bytes(found.memory_bytes) if found.memory_bytes else None),
            ("restarts", found.restarts),
            ("created", found.created_at),
            ("ready", found.ready_at),
            ("ended", found.ended_at),
        ]
    )
    print_members([found])


@app.command()
def update(
    ctx: typer.Context,
    name: str,
    model: Annotated[str | None, typer.Option(help="Serve this MODEL:VERSION.")] = None,
    mode: Mode | None = None,
    pool: str | None = None,
    engine: str | None = None,
    engine_version: str | None = None,
    context: ContextOption = None,
    users: UsersOption = None,
    flag: Annotated[list[str] | None, typer.Option("--flag", help="Engine flag NAME=VALUE.")] = None,
    nodes: NodesOption = None,
    cards: CardsOption = None,
    slice_: SliceOption = None,
    vendor: VendorOption = None,
    node_labels: NodeLabelsOption = None,
    tolerate: TolerateOption = None,
    cpu: CpuOption = None,
    memory: MemoryOption = None,
    replicas: int | None = None,
    drain_seconds: DrainOption = None,
    priority: PriorityOption = None,
    preemptible: PreemptibleOption = None,
    visibility: VisibilityOption = None,
    min_replicas: MinOption = None,
    max_replicas: MaxOption = None,
    target_queue: QueueOption = None,
    target_running: RunningOption = None,
    target_kv: KvOption = None,
    target_ttft_ms: TtftOption = None,
    idle_seconds: IdleOption = None,
    up_seconds: UpOption = None,
    down_seconds: DownOption = None,
    max_wait_seconds: MaxWaitOption = None,
    window: WindowOption = None,
    no_windows: NoWindowsOption = False,
    no_autoscale: NoAutoscaleOption = False,
    description: DescriptionOption = None,
    unset_flag: Annotated[list[str] | None, typer.Option(help="Engine flag NAME back to its default.")] = None,
    automatic: Annotated[
        list[str] | None, typer.Option(help=f"Let the platform choose again: {', '.join(_CHOSEN)}; repeat for several.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would run and why; change nothing.")] = False,
    wait: WaitFlag = True,
    json_: JsonFlag = False,
) -> None:
    """Change a service; it keeps serving while the new revision starts, and rolls back if that fails."""
    client = connect(ctx)
    given = {
        "model": model,
        "mode": mode,
        "pool": pool,
        "engine": engine,
        "engine_version": engine_version,
        "context_length": context,
        "users": users,
        "replicas": replicas,
        "drain_seconds": drain_seconds,
        "priority": priority,
        "preemptible": preemptible,
        "visibility": visibility,
        "engine_flags": parse_flags(flag) if flag else None,
        "compute": {
            "nodes": nodes,
            "accelerators": cards,
            "slice": part.model_dump() if (part := slice_of(slice_)) else None,
            "vendor": vendor,
            "node_labels": labels_of(node_labels),
            "tolerations": words_of(tolerate),
            "cpu_cores": cpu,
            "memory_bytes": bytes_of(memory),
        },
    }
    before = client.services.get(name).spec
    autoscale = scaling_of(
        None if no_autoscale else before.autoscale,
        [] if no_windows else window,
        min_replicas=min_replicas,
        max_replicas=max_replicas,
        queued_per_replica=target_queue,
        running_per_replica=target_running,
        kv_percent=target_kv,
        ttft_ms=target_ttft_ms,
        idle_seconds=idle_seconds,
        up_seconds=up_seconds,
        down_seconds=down_seconds,
        max_wait_seconds=max_wait_seconds,
    )
    spec = changed_spec(before, given, automatic or [], unset_flag or [], autoscale)
    if spec is None and description is None:
        raise InvalidError("Nothing to change was given.", hint="See `aicp service update --help`.")
    changes = ServiceUpdate(**given_of(spec=spec, description=description))
    if dry_run:
        plan = client.services.plan_change(name, changes)
        return print_json(plan) if json_ else print_plan(plan)
    service = client.services.update(name, changes)
    if wait:
        service = wait_for_service(client, name, f"Updating {name}", generation=service.generation)
    serving = f"revision {service.serving_generation}"
    print_done(service, f"{name} is {service.state}: {serving}. {service.reason}".rstrip(), as_json=json_)


def changed_spec(
    spec: ServiceSpec,
    given: dict[str, Any],
    automatic: Sequence[str] = (),
    unset: Sequence[str] = (),
    autoscale: Autoscale | None = None,
) -> ServiceSpec | None:
    """`spec` with what was given (None: not given), what is left to the platform again, without the flags `unset`, and
    scaled by the rule `autoscale`.

    None when that changes nothing. Raises InvalidError for what cannot be left to the platform or is not set.
    """
    unknown = [name for name in automatic if name not in _CHOSEN]
    if unknown:
        raise InvalidError(f"{unknown[0]!r} is nothing the platform chooses.", hint=f"Known: {', '.join(_CHOSEN)}.")
    before = spec.model_dump()
    after = {**before, **{field: value for field, value in given.items() if value is not None}}
    missing = [flag for flag in unset if flag not in before["engine_flags"]]
    if missing:
        known = ", ".join(before["engine_flags"]) or "none"
        raise InvalidError(f"The flag {missing[0]!r} is not set.", hint=f"Set: {known}.")
    after["autoscale"] = None if autoscale is None else autoscale.model_dump()
    kept = {flag: value for flag, value in before["engine_flags"].items() if flag not in unset}
    after["engine_flags"] = {**kept, **(given["engine_flags"] or {})}
    compute = {field: value for field, value in given["compute"].items() if value is not None}
    after["compute"] = {**before["compute"], **compute}
    for field in (_CHOSEN[name] for name in automatic):
        part = after["compute"] if field in after["compute"] else after
        part[field] = None
    # The same `model` again is a change: `latest` or an alias may stand for another version by now.
    if after == before and given["model"] is None:
        return None
    return ServiceSpec.model_validate(after)


@app.command()
def scale(ctx: typer.Context, name: str, replicas: int, wait: WaitFlag = True, json_: JsonFlag = False) -> None:
    """Set the number of replicas."""
    client = connect(ctx)
    service = client.services.update(name, ServiceUpdate(replicas=replicas))
    if wait:
        service = wait_for_service(client, name, f"Scaling {name}")
    counted = f"{service.replicas_ready} of {replicas} replicas are ready."
    print_done(service, f"{name} is {service.state}: {counted}", as_json=json_)


@app.command()
def stop(ctx: typer.Context, name: str, wait: WaitFlag = True, json_: JsonFlag = False) -> None:
    """Stop all replicas and keep the service."""
    client = connect(ctx)
    service = client.services.update(name, ServiceUpdate(stopped=True))
    if wait:
        service = wait_for_service(client, name, f"Stopping {name}")
    print_done(service, f"{name} is {service.state}.", as_json=json_)


@app.command()
def start(ctx: typer.Context, name: str, wait: WaitFlag = True, json_: JsonFlag = False) -> None:
    """Start a stopped service."""
    client = connect(ctx)
    service = client.services.update(name, ServiceUpdate(stopped=False))
    if wait:
        service = wait_for_service(client, name, f"Starting {name}")
    print_done(service, f"{name} is {service.state}.", as_json=json_)


@app.command()
def rollback(
    ctx: typer.Context, name: str, generation: int | None = None, wait: WaitFlag = True, json_: JsonFlag = False
) -> None:
    """Go back to an earlier revision."""
    client = connect(ctx)
    service = client.services.rollback(name, generation)
    if wait:
        service = wait_for_service(client, name, f"Rolling back {name}", generation=service.generation)
    print_done(service, f"{name} is {service.state}: revision {service.serving_generation}.", as_json=json_)


@app.command()
def history(ctx: typer.Context, name: str, json_: JsonFlag = False) -> None:
    """List revisions."""
    revisions = connect(ctx).services.revisions(name)
    if json_:
        return print_json(revisions)
    print_table(
        revisions,
        [
            ("revision", lambda r: r.generation),
            ("model", lambda r: r.model_version),
            ("outcome", lambda r: r.outcome),
            ("at", lambda r: r.created_at),
            ("by", lambda r: r.created_by),
        ],
        empty="No revisions.",
    )


@app.command()
def delete(ctx: typer.Context, name: str, yes: YesFlag = False, json_: JsonFlag = False) -> None:
    """Stop and remove a service; its logs stay."""
    if not yes:
        typer.confirm(f"Stop and remove the service {name}?", abort=True)
    connect(ctx).services.delete(name)
    print_done({"removed": name}, f"Removed {name}.", as_json=json_)
