"""`aicp node` and `aicp engine`."""

from __future__ import annotations

from typing import Annotated

import typer

from aicp.cli.connection import JsonFlag, WaitFlag, YesFlag, connect
from aicp.cli.marks import labels_text, taint_text
from aicp.cli.output import Column, print_done, print_facts, print_json, print_table
from aicp.cli.progress import wait_for_job
from aicp.core.accelerator import Accelerator
from aicp.core.engine import EngineInfo
from aicp.core.node import EnvironmentState, Node, NodeState, NodeStatus
from aicp.core.quantity import format_bytes

app = typer.Typer(no_args_is_help=True, help="Machines and their accelerators.")
engine_app = typer.Typer(no_args_is_help=True, help="Serving programs: install, list, remove.")


@app.command("list")
def list_nodes(
    ctx: typer.Context,
    pool: str | None = None,
    state: NodeState | None = None,
    search: str | None = None,
    json_: JsonFlag = False,
) -> None:
    """List nodes."""
    nodes = connect(ctx).nodes.list(pool=pool, state=state, search=search)
    if json_:
        return print_json(nodes)

    def accelerators(node: Node) -> str:
        return ", ".join(found.product for found in node.status.accelerators) if node.status else "-"

    print_table(
        nodes,
        [
            ("id", lambda n: n.id),
            ("name", lambda n: n.name),
            ("pool", lambda n: n.pool),
            ("state", lambda n: n.state),
            ("cores", lambda n: n.status.cpu_cores if n.status else None),
            ("memory", lambda n: format_bytes(n.status.memory_bytes) if n.status else None),
            ("accelerators", accelerators),
        ],
        empty="No nodes. This machine's agent registers itself within seconds of `aicp up`.",
    )


@app.command()
def show(ctx: typer.Context, node: str, json_: JsonFlag = False) -> None:
    """Show a node, its accelerators and what runs there."""
    client = connect(ctx)
    found = client.nodes.get(node)
    running = [replica for replica in client.nodes.replicas(node) if replica.ended_at is None]
    if json_:
        return print_json({**found.model_dump(mode="json"), "replicas": [r.model_dump(mode="json") for r in running]})
    status = found.status
    print_facts(
        [
            ("name", found.name),
            ("pool", found.pool),
            ("state", f"{found.state} {found.reason or ''}"),
            ("labels", labels_text(found.labels)),
            ("taints", [taint_text(taint) for taint in found.taints]),
            ("seen", found.seen_at),
            ("system", f"{status.os} {status.architecture}" if status else None),
            ("memory used", format_bytes(status.memory_used_bytes) if status else None),
            ("disk free", format_bytes(status.disk_free_bytes) if status else None),
        ]
    )
    if status:
        print_table(
            status.accelerators,
            [
                ("device", lambda a: a.device_id),
                ("product", lambda a: a.product),
                ("simulated", lambda a: "yes" if a.simulated else None),
                ("memory", lambda a: format_bytes(a.memory_bytes)),
                ("used", lambda a: format_bytes(a.metrics.memory_used_bytes) if a.metrics.memory_used_bytes else None),
                ("busy %", lambda a: a.metrics.utilization_percent),
                ("°C", lambda a: a.metrics.temperature_celsius),
                ("health", lambda a: a.health),
                ("slices by", _cut_by),
            ],
            empty="No accelerators.",
        )
        _print_findings(status)
    print_table(
        running,
        [
            ("replica", lambda r: r.id),
            ("service", lambda r: r.service),
            ("state", lambda r: r.state),
            ("memory", lambda r: format_bytes(r.memory_bytes) if r.memory_bytes else None),
        ],
        empty="Nothing runs there.",
    )


def _cut_by(device: Accelerator) -> str | None:
    return ", ".join(way.mechanism for way in device.slicing) or device.slicing_reason


def _print_findings(status: NodeStatus) -> None:
    """What ails the node's devices, and what to do about it; nothing where all are well."""
    found = [(device.device_id, finding) for device in status.accelerators for finding in device.findings]
    if found:
        columns: list[Column] = [
            ("device", lambda pair: pair[0]),
            ("health", lambda pair: pair[1].severity),
            ("code", lambda pair: pair[1].code),
            ("cause", lambda pair: pair[1].cause),
            ("next", lambda pair: pair[1].action),
        ]
        print_table(found, columns, empty="")


@engine_app.command("list")
def list_engines(ctx: typer.Context, json_: JsonFlag = False) -> None:
    """List engines, where they are installed and who uses them."""
    engines = connect(ctx).engines.list()
    if json_:
        return print_json(engines)
    print_table(
        engines,
        [
            ("name", lambda e: e.name),
            ("versions", lambda e: e.versions),
            ("installed", installed_on),
            ("used by", lambda e: e.used_by),
        ],
        empty="No engines.",
    )


def installed_on(engine: EngineInfo) -> list[str]:
    """Each environment as version, variant and node; its state too where it is not installed."""
    places: list[str] = []
    for place in engine.environments:
        found = place.status
        said = found.message if found.state == EnvironmentState.INSTALLED else found.state
        state = f" ({said})" if said else ""
        if found.state != EnvironmentState.ABSENT:
            places.append(f"{found.version}-{found.variant} on {place.node}{state}")
    return places


@engine_app.command("show")
def show_engine(ctx: typer.Context, name: str, json_: JsonFlag = False) -> None:
    """Show an engine: versions, where it is installed, and the flags that mode custom takes."""
    engine = connect(ctx).engines.get(name)
    if json_:
        return print_json(engine)
    print_facts(
        [
            ("title", engine.title),
            ("versions", engine.versions),
            ("variants", engine.variants),
            ("formats", [found.value for found in engine.formats]),
            ("modes", [mode.value for mode in engine.modes]),
            ("installed", installed_on(engine)),
            ("used by", engine.used_by),
        ]
    )
    columns: list[Column] = [
        ("flag", lambda f: f.name),
        ("type", lambda f: f.type),
        ("meaning", lambda f: f.description),
    ]
    print_table(engine.flags, columns, empty="No flags.")


@engine_app.command()
def install(
    ctx: typer.Context,
    name: str,
    version: Annotated[str | None, typer.Argument()] = None,
    variant: Annotated[str | None, typer.Option(help="Build, e.g. cpu or cuda; default: the best.")] = None,
    node: Annotated[str | None, typer.Option(help="One node; default: every node.")] = None,
    wait: WaitFlag = True,
    json_: JsonFlag = False,
) -> None:
    """Install an engine in its own environment."""
    client = connect(ctx)
    job = client.engines.install(name, version, node, variant=variant)
    if wait:
        job = wait_for_job(client, job, f"Installing {name}")
    print_done(job, f"Installed {name}." if wait else f"Job {job.id} installs {name}.", as_json=json_)


@engine_app.command()
def remove(
    ctx: typer.Context,
    name: str,
    version: str,
    variant: Annotated[str | None, typer.Option(help="Only this build; default: all.")] = None,
    yes: YesFlag = False,
    wait: WaitFlag = True,
    json_: JsonFlag = False,
) -> None:
    """Remove an installed engine that no service uses."""
    if not yes:
        typer.confirm(f"Remove {name} {version}?", abort=True)
    client = connect(ctx)
    job = client.engines.remove(name, version, variant=variant)
    if wait:
        job = wait_for_job(client, job, f"Removing {name} {version}")
    sentence = f"Removed {name} {version}." if wait else f"Job {job.id} removes {name} {version}."
    print_done(job, sentence, as_json=json_)
