"""`aicp accelerator`: the catalogue of accelerators."""

from __future__ import annotations

import typer

from aicp.cli.connection import JsonFlag, connect
from aicp.cli.output import print_facts, print_json, print_table
from aicp.core.quantity import format_bytes

app = typer.Typer(no_args_is_help=True, help="Published facts of accelerators, for planning and simulation.")


@app.command()
def catalog(ctx: typer.Context, search: str | None = None, vendor: str | None = None, json_: JsonFlag = False) -> None:
    """List kinds of accelerators with their published figures; those of this platform stand in `aicp node show`."""
    cards = connect(ctx).accelerators.catalog(search=search, vendor=vendor)
    if json_:
        return print_json(cards)
    print_table(
        cards,
        [
            ("name", lambda c: c.name),
            ("product", lambda c: c.product),
            ("vendor", lambda c: c.vendor),
            ("memory", lambda c: format_bytes(c.memory_bytes)),
            ("GB/s", lambda c: scaled(c.bandwidth_bytes_per_second, 1e9)),
            ("16-bit TFLOPS", lambda c: scaled(c.flops_16bit, 1e12)),
            ("FP8", lambda c: scaled(c.flops_fp8, 1e12)),
            ("INT8", lambda c: scaled(c.ops_int8, 1e12)),
            ("watts", lambda c: scaled(c.power_watts, 1)),
            ("cut by", lambda c: [way.mechanism for way in c.slicing]),
        ],
        empty="The catalogue has none of that name.",
    )


@app.command()
def show(ctx: typer.Context, name: str, json_: JsonFlag = False) -> None:
    """Show one kind of accelerator with the source of every figure."""
    card = connect(ctx).accelerators.get(name)
    if json_:
        return print_json(card)
    print_facts([("name", card.name), ("product", card.product), ("vendor", card.vendor), ("note", card.note)])
    fields = card.model_dump()
    figures = [
        (figure, fields[figure], card.sources.get(figure) or f"derived: {card.derived[figure]}")
        for figure in fields
        if figure in card.sources or figure in card.derived
    ]
    print_table(
        figures,
        [("figure", lambda f: f[0]), ("value", lambda f: worded(f[0], f[1])), ("source", lambda f: f[2])],
        empty="No figures.",
    )
    print_table(
        card.slicing,
        [
            ("cut by", lambda w: w.mechanism),
            ("compute in", lambda w: "-" if w.profiles else f"{w.compute_unit_percent:g} %"),
            ("memory in", lambda w: "-" if w.profiles else format_bytes(w.memory_unit_bytes)),
            ("shapes", lambda w: [shape.name for shape in w.profiles]),
            ("at most", lambda w: w.at_most),
        ],
        empty="No way to cut it is known.",
    )


def scaled(value: float | None, unit: float) -> str | None:
    """A figure in its usual unit."""
    return None if value is None else f"{value / unit:g}"


def worded(figure: str, value: float) -> str:
    """A figure with its unit."""
    if figure == "memory_bytes":
        return format_bytes(value)
    unit, name = _UNITS[figure]
    return f"{value / unit:g} {name}"


_UNITS = {
    "bandwidth_bytes_per_second": (1e9, "GB/s"),
    "link_bytes_per_second": (1e9, "GB/s"),
    "flops_16bit": (1e12, "TFLOPS"),
    "flops_fp8": (1e12, "TFLOPS"),
    "ops_int8": (1e12, "TOPS"),
    "power_watts": (1, "W"),
}
