"""`aicp pool defragment` and `aicp reservation`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from aicp.cli.connection import JsonFlag, YesFlag, connect
from aicp.cli.output import out, print_done, print_json, print_table
from aicp.cli.pools import checked
from aicp.core.pool_change import Defragmentation, ReservationCreate
from aicp.core.quantity import format_bytes

app = typer.Typer(no_args_is_help=True, help="Accelerators that only one project may have for a time.")


def defragment(
    ctx: typer.Context,
    name: str,
    apply: Annotated[bool, typer.Option("--apply", help="Have the moves done.")] = False,
    replica: Annotated[
        list[str] | None, typer.Option("--replica", help="Only the move of this replica; repeat for several.")
    ] = None,
    yes: YesFlag = False,
    json_: JsonFlag = False,
) -> None:
    """Show which replicas would move so that whole cards become free, and with --apply have it done."""
    moves = connect(ctx).pool_moves
    found = moves.proposal(name)
    if not apply:
        return print_json(found) if json_ else _print(found)
    if not json_:
        _print(found)
    if not found.moves and not replica:
        return print_json(found) if json_ else None
    if not yes:
        count = len(replica or found.moves)
        typer.confirm(f"Move {count} replicas? Each serves until its successor does.", abort=True)
    done = moves.carry_out(name, replica)
    print_done(done, f"{len(done.moves)} replicas move; `aicp pool show {name}` shows how far they are.", as_json=json_)
    return None


def _print(found: Defragmentation) -> None:
    if found.under_way:
        out.print(f"Moves are under way: {', '.join(found.under_way)}. Look again when they are done.", markup=False)
        return
    print_table(
        found.moves,
        [
            ("replica", lambda m: m.replica),
            ("service", lambda m: m.service or "of another project"),
            ("holds", lambda m: f"{m.compute_percent} %, {format_bytes(m.memory_bytes)}"),
            ("from", lambda m: f"{m.from_node}: {m.from_accelerator}"),
            ("to", lambda m: f"{m.node}: {m.accelerator}"),
        ],
        empty="Nothing to move: no card would become free.",
    )
    for card in found.freed:
        out.print(f"frees {card.node}: {card.accelerator} ({format_bytes(card.memory_bytes)})", markup=False)
    if found.helps:
        out.print(f"then these find a place: {', '.join(found.helps)}", markup=False)


@app.command("list")
@app.command("ls", hidden=True)
def list_reservations(
    ctx: typer.Context,
    pool: Annotated[str | None, typer.Option(help="Of this pool alone.")] = None,
    json_: JsonFlag = False,
) -> None:
    """List reservations that have not ended."""
    found = connect(ctx).reservations.list(pool)
    if json_:
        return print_json(found)
    print_table(
        found,
        [
            ("id", lambda r: r.id),
            ("pool", lambda r: r.pool),
            ("project", lambda r: r.project),
            ("cards", lambda r: [f"{item.node}: {item.accelerator}" for item in r.accelerators]),
            ("from", lambda r: r.starts_at),
            ("to", lambda r: r.ends_at),
            ("now", lambda r: "kept" if r.active else "later"),
            ("others still hold", lambda r: sum(item.held_by_others > 0 for item in r.accelerators)),
            ("note", lambda r: r.note),
        ],
        empty="No reservations.",
    )
    return None


@app.command("create")
def create_reservation(
    ctx: typer.Context,
    pool: Annotated[str, typer.Option(help="Pool whose cards are kept.")],
    project: Annotated[str, typer.Option(help="Project that they are kept for.")],
    until: Annotated[datetime, typer.Option("--to", help="End, local time.")],
    cards: Annotated[int, typer.Option(help="How many; the platform chooses which.")] = 1,
    start: Annotated[datetime | None, typer.Option("--from", help="Start, local time; now when left out.")] = None,
    vendor: Annotated[str | None, typer.Option(help="Cards of this vendor alone.")] = None,
    product: Annotated[str | None, typer.Option(help="Cards of this product alone.")] = None,
    note: Annotated[str, typer.Option(help="What it is for, in words.")] = "",
    json_: JsonFlag = False,
) -> None:
    """Keep cards of a pool for one project for a time."""
    asked = {"pool": pool, "project": project, "accelerators": cards, "vendor": vendor, "product": product}
    times = {"starts_at": None if start is None else start.astimezone(), "ends_at": until.astimezone()}
    made = connect(ctx).reservations.create(checked(ReservationCreate, {**asked, **times, "note": note}))
    kept = ", ".join(f"{item.node}: {item.accelerator}" for item in made.accelerators)
    print_done(made, f"{made.id} keeps {kept} for project {project}.", as_json=json_)


@app.command("rm")
def remove_reservation(ctx: typer.Context, reservation_id: str, yes: YesFlag = False, json_: JsonFlag = False) -> None:
    """End a reservation; what the project runs there goes on."""
    if not yes:
        typer.confirm(f"Remove reservation {reservation_id}?", abort=True)
    connect(ctx).reservations.delete(reservation_id)
    print_done({"removed": reservation_id}, f"{reservation_id} keeps nothing any more.", as_json=json_)
