"""Options for limits, the same for keys, projects and organizations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation

from pydantic import ValidationError

from aicp.core.api_key import Defaults
from aicp.core.errors import InvalidError
from aicp.core.limits import Limits

DEFAULT_HELP = f"NAME=NUMBER, repeat for several: {', '.join(Defaults.model_fields)}. NAME= takes one away."
LIMIT_HELP = f"NAME=NUMBER, repeat for several: {', '.join(Limits.model_fields)}. NAME= lifts one."


def changed_limits(present: Limits, given: Sequence[str]) -> Limits:
    """`present` with what `given` (`NAME=NUMBER`, `NAME=`) sets or lifts. Raises InvalidError."""
    values: dict[str, int | Decimal | None] = dict(present.model_dump())
    for text in given:
        name, separator, number = text.partition("=")
        if name not in Limits.model_fields or not separator:
            names = ", ".join(Limits.model_fields)
            raise InvalidError(f"{text!r} is no limit.", hint=f"Write NAME=NUMBER; the names are {names}.")
        values[name] = _number(name, number) if number else None
    try:
        return Limits.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        raise InvalidError(f"The limit {problem['loc'][-1]} is wrong: {problem['msg']}.") from error


def _number(name: str, text: str) -> int | Decimal:
    money = name.startswith("budget_")
    try:
        return Decimal(text) if money else int(text)
    except (ValueError, InvalidOperation) as error:
        kind = "an amount of money such as 12.50" if money else "a whole number"
        raise InvalidError(f"The limit {name} is {kind}, not {text!r}.") from error


def changed_defaults(present: Defaults, given: Sequence[str]) -> Defaults:
    """`present` with what `given` (`NAME=NUMBER`, `NAME=`) sets or takes away. Raises InvalidError."""
    values: dict[str, object] = dict(present.model_dump())
    for text in given:
        name, separator, number = text.partition("=")
        if name not in Defaults.model_fields or not separator:
            names = ", ".join(Defaults.model_fields)
            raise InvalidError(f"{text!r} is no parameter.", hint=f"Write NAME=NUMBER; the names are {names}.")
        values[name] = number or None
    try:
        return Defaults.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        raise InvalidError(f"The parameter {problem['loc'][-1]} is wrong: {problem['msg']}.") from error


def limits_text(limits: Limits | Defaults) -> str:
    """Those that are set, in one line."""
    named: Mapping[str, float | Decimal] = limits.model_dump(exclude_none=True)
    return ", ".join(f"{name}={number}" for name, number in named.items()) or "none"
