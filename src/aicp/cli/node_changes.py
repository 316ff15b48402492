"""`aicp node cordon`, `uncordon`, `drain`, `rm`, `set-pool`, `label` and `taint`."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from aicp.cli.connection import JsonFlag, WaitFlag, YesFlag, connect
from aicp.cli.marks import LABEL_HELP, changed_labels, changed_taints, labels_text, taint_text
from aicp.cli.output import print_done, print_json, print_table
from aicp.client.rest import Client
from aicp.core.errors import ConflictError
from aicp.core.launch import ReplicaState
from aicp.core.node import NodeUpdate
from aicp.core.pool import DrainPlan

_LOOK_EVERY_SECONDS = 1.0


def add_to(app: typer.Typer) -> None:
    """Adds the commands to `aicp node`."""
    for command in (cordon, uncordon, drain, taint):
        app.command()(command)
    app.command("label")(set_labels)
    app.command("rm")(remove)
    app.command("set-pool")(set_pool)


def cordon(ctx: typer.Context, node: str, json_: JsonFlag = False) -> None:
    """Keep new replicas off a node; those on it go on."""
    print_done(connect(ctx).nodes.cordon(node), f"{node} takes no new replicas.", as_json=json_)


def uncordon(ctx: typer.Context, node: str, json_: JsonFlag = False) -> None:
    """Let new replicas on a node again; also ends a drain."""
    print_done(connect(ctx).nodes.cordon(node, cordoned=False), f"{node} takes replicas again.", as_json=json_)


def drain(
    ctx: typer.Context,
    node: str,
    plan: Annotated[bool, typer.Option("--plan", help="Only show what would move where.")] = False,
    yes: YesFlag = False,
    wait: WaitFlag = True,
    json_: JsonFlag = False,
) -> None:
    """Move a node's replicas to other nodes: each gets a successor there before it ends."""
    client = connect(ctx)
    planned = client.nodes.drain_plan(node)
    if plan:
        return print_json(planned) if json_ else print_moves(planned)
    if not json_:
        print_moves(planned)
    if not yes:
        typer.confirm(f"Drain {node}?", abort=True)
    planned = client.nodes.drain(node)
    if wait:
        planned = _wait(client, node, planned)
    left = len(planned.moves)
    sentence = (
        f"{node} is drained." if not left else f"{node} is being drained, {left} to go. See `aicp node drain --plan`."
    )
    print_done(planned, sentence, as_json=json_)


def _wait(client: Client, node: str, plan: DrainPlan) -> DrainPlan:
    """Until nothing is left on the node. Raises ConflictError when only replicas are left that find no other place."""
    while plan.moves:
        if all(move.node is None and move.state != ReplicaState.DRAINING for move in plan.moves):
            stuck = "; ".join(f"{move.service}: {move.reason}" for move in plan.moves)
            raise ConflictError(
                f"Some replicas stay on {node} until there is room elsewhere: {stuck}",
                hint=f"Make room or stop these services; the drain goes on. `aicp node uncordon {node}` ends it.",
            )
        time.sleep(_LOOK_EVERY_SECONDS)
        plan = client.nodes.drain_plan(node)
    return plan


def print_moves(plan: DrainPlan) -> None:
    """Which replica goes where, or why it cannot."""
    print_table(
        plan.moves,
        [
            ("replica", lambda m: m.replica),
            ("service", lambda m: m.service),
            ("project", lambda m: m.project),
            ("state", lambda m: m.state),
            ("to node", lambda m: m.node),
            ("why not", lambda m: m.reason),
        ],
        empty="Nothing runs there.",
    )


def remove(ctx: typer.Context, node: str, yes: YesFlag = False, json_: JsonFlag = False) -> None:
    """Forget a node that is lost, whose replicas count as ended, or one that joined and holds none."""
    if not yes:
        typer.confirm(f"Forget {node}? Only if it does not come back.", abort=True)
    connect(ctx).nodes.delete(node)
    print_done({"removed": node}, f"{node} is forgotten.", as_json=json_)


def set_pool(ctx: typer.Context, node: str, pool: str, json_: JsonFlag = False) -> None:
    """Move a node that holds no replicas to another pool."""
    changed = connect(ctx).nodes.update(node, NodeUpdate(pool=pool))
    print_done(changed, f"{changed.name} belongs to pool {changed.pool}.", as_json=json_)


def set_labels(
    ctx: typer.Context,
    node: str,
    label: Annotated[list[str], typer.Argument(help=LABEL_HELP)],
    json_: JsonFlag = False,
) -> None:
    """Set or take away labels of a node."""
    nodes = connect(ctx).nodes
    changed = nodes.update(node, NodeUpdate(labels=changed_labels(nodes.get(node).labels, label)))
    print_done(changed, f"{changed.name} has labels: {labels_text(changed.labels) or 'none'}.", as_json=json_)


def taint(
    ctx: typer.Context,
    node: str,
    taints: Annotated[list[str] | None, typer.Argument(help="KEY[=VALUE][:EFFECT], several.")] = None,
    remove: Annotated[list[str] | None, typer.Option("--remove", help="Key of a taint to take away.")] = None,
    json_: JsonFlag = False,
) -> None:
    """Keep replicas off a node that do not tolerate it."""
    nodes = connect(ctx).nodes
    wanted = changed_taints(nodes.get(node).taints, taints or [], remove or [])
    changed = nodes.update(node, NodeUpdate(taints=wanted))
    said = ", ".join(taint_text(item) for item in changed.taints) or "none"
    print_done(changed, f"{changed.name} has taints: {said}.", as_json=json_)
