"""`aicp publish`: a model as a service, with everything not given chosen and explained."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from aicp.cli.connection import JsonFlag, WaitFlag, connect
from aicp.cli.marks import changed_labels
from aicp.cli.output import out, print_json, print_table
from aicp.cli.progress import wait_for_service
from aicp.cli.scaling import (
    DownOption,
    IdleOption,
    KvOption,
    MaxOption,
    MaxWaitOption,
    MinOption,
    QueueOption,
    RunningOption,
    TtftOption,
    UpOption,
    WindowOption,
    scaling_of,
)
from aicp.core.errors import InvalidError
from aicp.core.model import Visibility
from aicp.core.quantity import format_bytes, parse_bytes
from aicp.core.service import (
    Compute,
    Mode,
    Plan,
    Published,
    ServiceCreate,
    ServiceSpec,
)
from aicp.core.slice import SliceSpec, parse_slice

ContextOption = Annotated[int | None, typer.Option(help="Context length in tokens.")]
UsersOption = Annotated[int | None, typer.Option(help="Simultaneous requests per replica.")]
NodesOption = Annotated[
    int | None, typer.Option(help="Nodes that one replica spans; other options then say what it gets on each.")
]
CardsOption = Annotated[int | None, typer.Option(help="Whole accelerators per replica.")]
VendorOption = Annotated[str | None, typer.Option(help="Only this vendor's accelerators, e.g. nvidia.")]
SliceOption = Annotated[
    str | None,
    typer.Option("--slice", help="A part of each accelerator: SHARE[,MEMORY][,weight], e.g. 30% or 10%,2GiB."),
]
NodeLabelsOption = Annotated[str | None, typer.Option(help="Only nodes with these labels: KEY=VALUE,KEY=VALUE.")]
TolerateOption = Annotated[
    str | None, typer.Option(help="Also nodes with these taints: KEY or KEY=VALUE, comma-separated.")
]
CpuOption = Annotated[float | None, typer.Option(help="CPU cores per replica.")]
MemoryOption = Annotated[str | None, typer.Option(help="Host memory per replica, e.g. 4GiB.")]
DrainOption = Annotated[float | None, typer.Option(help="How long open requests may finish when a replica goes.")]
VisibilityOption = Annotated[Visibility | None, typer.Option(help="Who may call it: every project's keys, or its own.")]
PriorityOption = Annotated[
    int | None, typer.Option(help="Of replicas that wait the higher is placed first, -1000 to 1000; 0 is usual.")
]
PreemptibleOption = Annotated[
    bool | None,
    typer.Option("--preemptible/--not-preemptible", help="Its replicas make room for those of a higher priority."),
]
DescriptionOption = Annotated[str | None, typer.Option(help="What people read about it.")]


def parse_flags(flags: list[str]) -> dict[str, Any]:
    """`name=value` pairs; values are JSON where they parse as such, else text."""
    parsed: dict[str, Any] = {}
    for flag in flags:
        name, separator, value = flag.partition("=")
        if not separator:
            raise InvalidError(f"{flag!r} is not NAME=VALUE.")
        try:
            parsed[name] = json.loads(value)
        except ValueError:
            parsed[name] = value
    return parsed


def bytes_of(text: str | None) -> int | None:
    """A size such as 4GiB as bytes. Raises InvalidError."""
    try:
        return None if text is None else parse_bytes(text)
    except ValueError as error:
        raise InvalidError(str(error)) from error


def slice_of(text: str | None) -> SliceSpec | None:
    """A slice such as 30%,2GiB. Raises InvalidError."""
    try:
        return None if text is None else parse_slice(text)
    except ValueError as error:
        raise InvalidError(str(error)) from error


def labels_of(text: str | None) -> dict[str, str] | None:
    """`zone=a,disk=ssd` as labels. Raises InvalidError."""
    return None if text is None else changed_labels({}, words_of(text) or [])


def words_of(text: str | None) -> list[str] | None:
    """The words of a comma-separated list."""
    return None if text is None else [word.strip() for word in text.split(",") if word.strip()]


def given_of(**fields: Any) -> dict[str, Any]:
    """The fields that are not None: the platform's own defaults hold for the rest."""
    return {name: value for name, value in fields.items() if value is not None}


def publish(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(help="MODEL, MODEL:VERSION or MODEL:ALIAS.")],
    name: Annotated[str | None, typer.Option("--name", "-n", help="Public name; default: the model's.")] = None,
    mode: Mode = Mode.BALANCED,
    replicas: int = 1,
    pool: str = "default",
    project: str = "default",
    engine: str | None = None,
    engine_version: str | None = None,
    flag: Annotated[list[str] | None, typer.Option("--flag", help="Engine flag NAME=VALUE (mode custom).")] = None,
    context: ContextOption = None,
    users: UsersOption = None,
    nodes: NodesOption = None,
    cards: CardsOption = None,
    slice_: SliceOption = None,
    vendor: VendorOption = None,
    node_labels: NodeLabelsOption = None,
    tolerate: TolerateOption = None,
    cpu: CpuOption = None,
    memory: MemoryOption = None,
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
    description: DescriptionOption = None,
    create_key: Annotated[bool, typer.Option("--create-key", help="Make a key for this service only.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would run and why; change nothing.")] = False,
    wait: WaitFlag = True,
    json_: JsonFlag = False,
) -> None:
    """Publish a model as a service; everything not given is chosen and explained."""
    client = connect(ctx)
    autoscale = scaling_of(
        None,
        window,
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
    spec = ServiceSpec(
        model=model,
        mode=mode,
        engine=engine,
        engine_version=engine_version,
        engine_flags=parse_flags(flag or []),
        pool=pool,
        compute=Compute(
            **given_of(nodes=nodes),
            accelerators=cards,
            slice=slice_of(slice_),
            vendor=vendor,
            node_labels=labels_of(node_labels),
            tolerations=words_of(tolerate),
            cpu_cores=cpu,
            memory_bytes=bytes_of(memory),
        ),
        replicas=replicas,
        context_length=context,
        users=users,
        **given_of(
            drain_seconds=drain_seconds,
            visibility=visibility,
            autoscale=autoscale,
            priority=priority,
            preemptible=preemptible,
        ),
    )
    described = given_of(description=description)
    body = ServiceCreate(name=name, project=project, spec=spec, create_key=create_key, **described)
    if dry_run:
        plan = client.services.plan(body)
        return print_json(plan) if json_ else print_plan(plan)
    published = client.services.create(body)
    if not json_:
        print_plan(published.plan)
    if wait:
        service = wait_for_service(client, published.service.name, f"Starting {published.service.name}")
        published = published.model_copy(update={"service": service})
    if json_:
        print_json(published)
    else:
        _print_published(published)


def print_plan(plan: Plan) -> None:
    """What will run and why."""
    out.print(f"[bold]{plan.name}[/]: {plan.model}:{plan.version} on {plan.engine} {plan.engine_version}")
    print_table(
        plan.choices,
        [
            ("what", lambda c: c.name),
            ("value", lambda c: c.value),
            ("by", lambda c: c.chosen_by),
            ("why", lambda c: c.reason),
        ],
        empty="",
    )
    parts = ", ".join(f"{part.name} {format_bytes(part.bytes)}" for part in plan.memory)
    out.print(f"Memory per replica: {parts}")
    out.print(f"{'Fits' if plan.fit.fits else 'Does not fit'}: {plan.fit.reason}", markup=False)
    for suggestion in plan.fit.suggestions:
        out.print(f"  try: {suggestion}", markup=False)
    for item in plan.preempts:
        named = (
            f"replica {item.replica} of service {item.service} on {item.node}"
            if item.service
            else "a replica of another project"
        )
        out.print(f"Makes room: {named}, priority {item.priority}; it comes back when there is room.", markup=False)


def _print_published(published: Published) -> None:
    service = published.service
    out.print(f"\n[bold green]{service.name}[/] is {service.state}. {service.reason}")
    if service.address:
        out.print(f"Address: {service.address}", markup=False)
    if published.key:
        out.print(f"Key (shown once): [bold]{published.key}[/]", soft_wrap=True)
    for sample in (published.curl, published.python):
        if sample:
            typer.echo(f"\n{sample}")  # to copy: no line may be broken to fit the terminal
