"""`aicp price`: what models' tokens cost."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Annotated

import typer
from pydantic import ValidationError

from aicp.cli.connection import JsonFlag, YesFlag, connect
from aicp.cli.output import print_done, print_json, print_table
from aicp.core.errors import InvalidError
from aicp.core.money import PLACES
from aicp.core.price import PriceSet

app = typer.Typer(no_args_is_help=True, help="What models' tokens cost: list, set and delete prices.")


@app.command("list")
def list_prices(
    ctx: typer.Context,
    search: Annotated[str | None, typer.Option(help="A part of the model's name.")] = None,
    json_: JsonFlag = False,
) -> None:
    """List prices of a million tokens."""
    prices = connect(ctx).prices
    found = prices.list(search=search)
    if json_:
        return print_json(found)
    currency = prices.currency()
    print_table(
        found,
        [
            ("model", lambda p: p.model),
            (f"input {currency}", lambda p: p.input),
            (f"cached input {currency}", lambda p: p.input if p.cached_input is None else p.cached_input),
            (f"output {currency}", lambda p: p.output),
            ("since", lambda p: p.set_at),
            ("by", lambda p: p.set_by),
        ],
        empty="No prices yet, so nothing costs anything. Set one with `aicp price set MODEL --input 2 --output 8`.",
    )


@app.command("set")
def set_price(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(help="Public model name.")],
    input: Annotated[str, typer.Option("--input", help="Price of a million input tokens.")],
    output: Annotated[str, typer.Option("--output", help="Price of a million output tokens.")],
    cached_input: Annotated[
        str | None, typer.Option("--cached-input", help="Of input that the engine had in its cache; else as --input.")
    ] = None,
    json_: JsonFlag = False,
) -> None:
    """Set what a model's tokens cost from now on; what was used before keeps its cost."""
    price = connect(ctx).prices.set(
        model,
        input=_amount("--input", input),
        output=_amount("--output", output),
        cached_input=None if cached_input is None else _amount("--cached-input", cached_input),
    )
    print_done(price, f"{model} costs {price.input} and {price.output} for a million tokens.", as_json=json_)


@app.command("delete")
def delete_price(ctx: typer.Context, model: str, yes: YesFlag = False, json_: JsonFlag = False) -> None:
    """Take a model's price away; its requests cost nothing from now on."""
    if not yes:
        typer.confirm(f"Take the price of {model} away? Its requests then cost nothing.", abort=True)
    connect(ctx).prices.delete(model)
    print_done({"removed": model}, f"{model} has no price any more.", as_json=json_)


def _amount(option: str, text: str) -> Decimal:
    try:
        amount = Decimal(text)
        PriceSet(input=amount, output=amount)  # what is no price is told before anything is sent
    except (InvalidOperation, ValidationError) as error:
        raise InvalidError(
            f"{option} is an amount of money such as 2.50, not {text!r}.",
            hint=f"At least 0, with at most {PLACES} digits behind the point.",
        ) from error
    return amount
