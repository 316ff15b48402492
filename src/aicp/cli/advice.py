"""`aicp pool advise`: how many cards services would need, whole and sliced, drawn card by card."""

from __future__ import annotations

import string
import sys
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from pydantic import ValidationError

from aicp.cli.connection import JsonFlag, connect
from aicp.cli.output import out, print_json
from aicp.core.advice import Advice, AdviceRequest, CardAdvice, PackedCard
from aicp.core.errors import InvalidError
from aicp.core.quantity import format_bytes

_WIDTH = 50
"""Signs of a bar: one stands for two hundredths of a card."""
_HINT = "`aicp pool advise --example` prints a file to begin with."


def advise(
    ctx: typer.Context,
    file: Annotated[Path | None, typer.Argument(help="YAML with `services` and `cards`; - is standard input.")] = None,
    example: Annotated[bool, typer.Option("--example", help="Print an example of such a file.")] = False,
    json_: JsonFlag = False,
) -> None:
    """Say how many cards services would need, each with cards of its own and sharing them in slices."""
    if example:
        sys.stdout.write(example_text())
        return
    if file is None:
        raise InvalidError("`aicp pool advise` needs a file.", hint=_HINT)
    advice = connect(ctx).pools.advise(read_request(file))
    if json_:
        print_json(advice)
        return
    for line in draw(advice):
        out.print(line, markup=False, soft_wrap=True)


def example_text() -> str:
    """The file that ships as an example: embedding, rerank and OCR on three kinds of card."""
    return files("aicp.cli").joinpath("advice_example.yaml").read_text(encoding="utf-8")


def read_request(path: Path) -> AdviceRequest:
    """The question in a YAML file. Raises InvalidError that names the field at fault."""
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
        content: Any = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidError(f"{path} cannot be read as YAML: {error}", hint=_HINT) from error
    if not isinstance(content, dict):
        raise InvalidError(f"{path} holds no `services` and `cards`.", hint=_HINT)
    try:
        return AdviceRequest.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise InvalidError(f"{path}: {where}: {first['msg']}.", hint=_HINT) from error


def draw(advice: Advice) -> list[str]:
    """The answer as lines: for each kind of card the counts, then every card as two bars."""
    lines = ["Computed from published figures; nothing was run."]
    for card in advice.cards:
        lines += ["", *_draw_kind(card, card.card == advice.best)]
    return lines


def _draw_kind(card: CardAdvice, best: bool) -> list[str]:
    mark = " <- fewest cards" if best else ""
    lines = [f"{card.card} ({card.product}): {card.reason}{mark}"]
    if card.sliced_cards is not None:
        proof = "no fewer are possible" if card.exact else f"at least {card.least_cards} are needed"
        lines.append(f"  cut by {card.mechanism or 'nothing'}; {proof}")
    lines += [f"  {note}" for note in card.notes]
    for packed in card.packing:
        lines += _draw_card(packed, card.memory_bytes)
    return lines


def _draw_card(card: PackedCard, memory: int) -> list[str]:
    signs = (string.ascii_uppercase + string.ascii_lowercase + string.digits)[: len(card.shares)]
    signs = signs.ljust(len(card.shares), "#")
    compute = _bar([share.compute_percent for share in card.shares], 100, signs)
    held = _bar([share.memory_bytes for share in card.shares], memory, signs)
    lines = [
        f"  card {card.number}  compute [{compute}] {card.compute_free_percent} % free",
        f"  {' ' * len(f'card {card.number}')}  memory  [{held}] {format_bytes(card.memory_free_bytes)} free",
    ]
    for sign, share in zip(signs, card.shares, strict=True):
        size = "whole card" if share.whole else f"{share.compute_percent} %, {format_bytes(share.memory_bytes)}"
        rounded = f" ({share.rounding})" if share.rounding else ""
        lines.append(f"    {sign} {share.service} {share.replica}: {size}{rounded}")
    return lines


def _bar(parts: list[int], total: int, signs: str) -> str:
    """To scale: each part ends where the sum up to it ends, and the smallest is still seen."""
    drawn, so_far = "", 0
    for part, sign in zip(parts, signs, strict=True):
        so_far += part
        drawn += sign * max(1, round(_WIDTH * so_far / total) - len(drawn))
    return drawn[:_WIDTH].ljust(_WIDTH, ".")
