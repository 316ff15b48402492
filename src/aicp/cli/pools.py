"""`aicp pool`: named sets of nodes with one purpose."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from aicp.cli.connection import JsonFlag, YesFlag, connect
from aicp.cli.marks import LABEL_HELP, changed_labels, labels_text
from aicp.cli.output import out, print_done, print_facts, print_json, print_table
from aicp.cli.publish import bytes_of, given_of
from aicp.core.errors import InvalidError
from aicp.core.pool import (
    Held,
    Pool,
    PoolCreate,
    PoolDevice,
    PoolOrder,
    PoolQuota,
    PoolUpdate,
    Purpose,
    QuotaUse,
    TrainingWindow,
)
from aicp.core.quantity import format_bytes

app = typer.Typer(
    no_args_is_help=True, help="Named sets of nodes with one purpose, and what projects may hold of them."
)

_BAR = 24
_WINDOW = re.compile(r"^(?:([1-7](?:[-,][1-7])*)\s+)?(\d\d:\d\d)-(\d\d:\d\d)(?:\s+(\S+))?$")
_QUOTA_FIELDS = {
    "accelerators": "accelerators",
    "compute": "compute_percent",
    "memory": "memory_bytes",
    "lend": "lend_percent",
    "borrow": "borrow_percent",
}
PurposeOption = Annotated[Purpose | None, typer.Option(help="What its accelerators are for.")]
WindowOption = Annotated[
    list[str] | None,
    typer.Option("--window", help="Hours of training, e.g. '1-5 22:00-06:00 Asia/Taipei'; repeat for several."),
]
LabelOption = Annotated[list[str] | None, typer.Option("--label", help=LABEL_HELP)]
PolicyOption = Annotated[
    PoolOrder | None,
    typer.Option(help="spread: replicas of a service on different nodes; pack: as few cards as possible."),
]
UnlikeOption = Annotated[
    bool | None, typer.Option("--unlike/--alike", help="Whether one replica may get cards of several products.")
]
OversubscribeOption = Annotated[
    float | None,
    typer.Option(
        "--memory-oversubscription",
        help="How many times the memory of a card may be promised to its slices, 1 (usual) to 2.",
    ),
]
QuotaOption = Annotated[
    list[str] | None,
    typer.Option(
        "--quota",
        help="PROJECT:accelerators=4,compute=250,memory=64GiB (any of them), and with --borrowing lend=50,borrow=100"
        " in hundredths of the quota; repeat for several. PROJECT: lifts one.",
    ),
]
BorrowingOption = Annotated[
    bool | None,
    typer.Option("--borrowing/--no-borrowing", help="Whether projects use what others leave unused of their quotas."),
]


@app.command("list")
@app.command("ls", hidden=True)
def list_pools(ctx: typer.Context, json_: JsonFlag = False) -> None:
    """List pools with what is taken and who waits."""
    pools = connect(ctx).pools.list()
    if json_:
        return print_json(pools)
    print_table(
        pools,
        [
            ("name", lambda p: p.name),
            ("purpose", lambda p: p.purpose),
            ("vendors", lambda p: [*p.vendors, *(["(simulated)"] if p.simulated else [])]),
            ("nodes", lambda p: f"{p.nodes_ready}/{p.nodes}"),
            ("cards used", lambda p: f"{p.accelerators_used}/{p.accelerators}"),
            ("memory used", lambda p: f"{format_bytes(p.memory_used_bytes)} of {format_bytes(p.memory_bytes)}"),
            ("cores free", lambda p: f"{p.cpu_cores_free:g} of {p.cpu_cores:g}"),
            ("storage used", lambda p: f"{format_bytes(p.storage_used_bytes)} of {format_bytes(p.storage_bytes)}"),
            ("waiting", lambda p: p.waiting),
        ],
        empty="No pools.",
    )


@app.command("show")
def show_pool(ctx: typer.Context, name: str, json_: JsonFlag = False) -> None:
    """Show a pool: its nodes, accelerators and slices, who waits and why, and how quotas stand."""
    view = connect(ctx).pools.view(name)
    if json_:
        return print_json(view)
    print_facts(_facts(view.pool))
    rows = [(node, device) for node in view.nodes for device in node.devices]
    print_table(
        rows,
        [
            ("node", lambda row: f"{row[0].name} ({row[0].state})"),
            ("card", lambda row: f"{row[1].vendor} {row[1].index} {row[1].product}{' (simulated)' * row[1].simulated}"),
            ("compute", lambda row: _bar([share.compute_percent for share in row[1].shares], 100)),
            ("memory", lambda row: _bar([share.memory_bytes for share in row[1].shares], row[1].memory_bytes)),
            ("free memory", lambda row: format_bytes(row[1].free_memory_bytes)),
            ("held by", lambda row: _holders(row[1])),
        ],
        empty="No nodes. Move one here with `aicp node set-pool NODE POOL`.",
    )
    for item in view.waiting:
        out.print(f"\n{item.replica} of {item.service} waits: {item.reason}", markup=False)
        for node in item.nodes:
            out.print(f"  {node.node}: {node.reason}", markup=False)
    if view.quotas:
        out.print()
        columns = ("project", "accelerators", "compute %", "memory")
        loans = [("borrows", lambda use: _amounts(use.borrowed)), ("lends", lambda use: _amounts(use.lendable))]
        shown: list[Any] = [(column, _quota_column(column)) for column in columns]
        print_table(view.quotas, shown + loans * view.pool.borrowing, empty="")


def _facts(pool: Pool) -> Sequence[tuple[str, Any]]:
    return [
        ("name", pool.name),
        ("purpose", pool.purpose + (f": {pool.closed}" if pool.closed else "")),
        ("windows", [f"{item.days} {item.start}-{item.end} {item.time_zone}" for item in pool.windows]),
        ("policy", pool.policy + ("" if pool.unlike else ", one replica on cards of one product")),
        ("memory promised", f"up to {pool.memory_oversubscription:g} times"),
        ("quotas", "unused ones are lent" if pool.borrowing else "unused ones are kept free"),
        ("description", pool.description),
        ("labels", labels_text(pool.labels)),
        ("nodes", f"{pool.nodes_ready} of {pool.nodes} take replicas"),
        ("cards used", f"{pool.accelerators_used} of {pool.accelerators}"),
        ("memory used", f"{format_bytes(pool.memory_used_bytes)} of {format_bytes(pool.memory_bytes)}"),
        ("cores free", f"{pool.cpu_cores_free:g} of {pool.cpu_cores:g}"),
        ("storage used", f"{format_bytes(pool.storage_used_bytes)} of {format_bytes(pool.storage_bytes)}"),
        ("waiting", pool.waiting),
    ]


def _bar(parts: Sequence[int], whole: int) -> str:
    """Parts of a whole to scale; a part that is there at all takes one sign at least."""
    total = max(whole, sum(parts)) or 1
    drawn = "".join("█▓"[number % 2] * max(1, round(_BAR * part / total)) for number, part in enumerate(parts))[:_BAR]
    return f"{drawn:░<{_BAR}} {100 * sum(parts) / (whole or 1):.0f} %"


def _holders(device: PoolDevice) -> str:
    return ", ".join(
        f"{share.service or 'another project'} {share.compute_percent} %"
        + (f" {share.mechanism}" if share.mechanism else "")
        for share in device.shares
    )


def _amounts(held: Held) -> str:
    cards = "1 card" if held.accelerators == 1 else f"{held.accelerators} cards"
    parts = [cards] * bool(held.accelerators) + [f"{held.compute_percent} %"] * bool(held.compute_percent)
    return ", ".join(parts + [format_bytes(held.memory_bytes)] * bool(held.memory_bytes))


def _quota_column(column: str) -> Any:
    def text(use: QuotaUse) -> str:
        if column == "project":
            return use.quota.project
        if column == "accelerators":
            limit, now = use.quota.accelerators, str(use.held.accelerators)
            return f"{now} of {'any' if limit is None else limit}"
        if column == "memory":
            limit, now = use.quota.memory_bytes, format_bytes(use.held.memory_bytes)
            return f"{now} of {'any' if limit is None else format_bytes(limit)}"
        limit, now = use.quota.compute_percent, str(use.held.compute_percent)
        return f"{now} of {'any' if limit is None else limit}"

    return text


@app.command("create")
def create_pool(
    ctx: typer.Context,
    name: str,
    description: Annotated[str, typer.Option(help="What it is for, in words.")] = "",
    purpose: PurposeOption = None,
    window: WindowOption = None,
    policy: PolicyOption = None,
    unlike: UnlikeOption = None,
    borrowing: BorrowingOption = None,
    oversubscribe: OversubscribeOption = None,
    label: LabelOption = None,
    quota: QuotaOption = None,
    node: Annotated[list[str] | None, typer.Option("--add-node", help="Node to move into it.")] = None,
    json_: JsonFlag = False,
) -> None:
    """Add a pool; machines come into it with --add-node or `aicp node set-pool`."""
    pools = connect(ctx).pools
    given = {
        "name": name,
        "description": description,
        "purpose": purpose or (Purpose.WINDOWS if window else Purpose.INFERENCE),
        "windows": [parse_window(text) for text in window or []],
        "labels": changed_labels({}, label or []),
        "quotas": changed_quotas([], quota or []),
        **given_of(policy=policy, unlike=unlike, borrowing=borrowing, memory_oversubscription=oversubscribe),
    }
    pool = pools.create(checked(PoolCreate, given))
    if node:
        pool = pools.update(name, PoolUpdate(add_nodes=node))
    print_done(pool, f"Pool {name} is there with {pool.nodes} nodes.", as_json=json_)


@app.command("edit")
def edit_pool(
    ctx: typer.Context,
    name: str,
    description: Annotated[str | None, typer.Option(help="What it is for, in words.")] = None,
    purpose: PurposeOption = None,
    window: WindowOption = None,
    policy: PolicyOption = None,
    unlike: UnlikeOption = None,
    borrowing: BorrowingOption = None,
    oversubscribe: OversubscribeOption = None,
    label: LabelOption = None,
    quota: QuotaOption = None,
    node: Annotated[list[str] | None, typer.Option("--add-node", help="Node to move into it.")] = None,
    json_: JsonFlag = False,
) -> None:
    """Change a pool's description, purpose, labels or quotas, or move nodes into it."""
    pools = connect(ctx).pools
    changes: dict[str, Any] = {"add_nodes": node or []}
    changes |= given_of(description=description, purpose=purpose, policy=policy, unlike=unlike)
    changes |= given_of(borrowing=borrowing, memory_oversubscription=oversubscribe)
    if window:
        changes["windows"] = [parse_window(text) for text in window]
        changes.setdefault("purpose", Purpose.WINDOWS)
    if label or quota:
        present = pools.get(name)
        changes["labels"] = changed_labels(present.labels, label or [])
        changes["quotas"] = changed_quotas(present.quotas, quota or [])
    pool = pools.update(name, checked(PoolUpdate, changes))
    print_done(pool, f"Pool {name} is changed.", as_json=json_)


@app.command("rm")
def remove_pool(ctx: typer.Context, name: str, yes: YesFlag = False, json_: JsonFlag = False) -> None:
    """Remove a pool without nodes and services."""
    if not yes:
        typer.confirm(f"Remove pool {name}?", abort=True)
    connect(ctx).pools.delete(name)
    print_done({"removed": name}, f"Pool {name} is gone.", as_json=json_)


def parse_window(text: str) -> TrainingWindow:
    """`[DAYS ]HH:MM-HH:MM[ ZONE]`, days as `1-5` or `1,3,7`. Raises InvalidError."""
    match = _WINDOW.fullmatch(text.strip())
    if match is None:
        raise InvalidError(
            f"{text!r} is no window.", hint="Write it like '1-5 22:00-06:00 Asia/Taipei'; 1 is Monday, 7 is Sunday."
        )
    days, start, end, zone = match.groups()
    given: dict[str, Any] = {"start": start, "end": end}
    if days:
        given["days"] = _days(days)
    if zone:
        given["time_zone"] = zone
    return checked(TrainingWindow, given)


def _days(text: str) -> list[int]:
    days: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        days |= set(range(int(first), int(last or first) + 1))
    return sorted(days)


def changed_quotas(present: Sequence[PoolQuota], given: Sequence[str]) -> list[PoolQuota]:
    """`present` with the projects of `given` set anew or lifted. Raises InvalidError."""
    quotas = {quota.project: quota for quota in present}
    for text in given:
        project, separator, limits = text.partition(":")
        if not separator or not project:
            raise InvalidError(
                f"{text!r} is no quota.",
                hint="Write PROJECT:accelerators=4,compute=250,memory=64GiB, or PROJECT: to lift.",
            )
        quotas.pop(project, None)
        if limits:
            quotas[project] = checked(PoolQuota, {"project": project, **_limits(limits)})
    return list(quotas.values())


def _limits(text: str) -> Mapping[str, Any]:
    values: dict[str, Any] = {}
    for part in text.split(","):
        name, _, number = part.partition("=")
        if name not in _QUOTA_FIELDS or not number:
            raise InvalidError(f"{part!r} is no limit of a quota.", hint=f"The names are {', '.join(_QUOTA_FIELDS)}.")
        values[_QUOTA_FIELDS[name]] = bytes_of(number) if name == "memory" else number
    return values


def checked(shape: Any, values: Mapping[str, Any]) -> Any:
    """What a person typed as the request `shape`. Raises InvalidError that names what is wrong."""
    try:
        return shape.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        where = " ".join(str(part) for part in problem["loc"])
        raise InvalidError(f"{where or 'What is given'} is wrong: {problem['msg']}.") from error
