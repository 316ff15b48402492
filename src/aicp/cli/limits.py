"""Options for limits, the same for keys, projects and organizations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import ValidationError

from aicp.core.errors import InvalidError
from aicp.core.limits import Limits

LIMIT_HELP = f"NAME=NUMBER, repeat for several: {', '.join(Limits.model_fields)}. NAME= lifts one."


def changed_limits(present: Limits, given: Sequence[str]) -> Limits:
    """`present` with what `given` (`NAME=NUMBER`, `NAME=`) sets or lifts. Raises InvalidError."""
    values: dict[str, int | None] = dict(present.model_dump())
    for text in given:
        name, separator, number = text.partition("=")
        if name not in Limits.model_fields or not separator:
            names = ", ".join(Limits.model_fields)
            raise InvalidError(f"{text!r} is no limit.", hint=f"Write NAME=NUMBER; the names are {names}.")
        try:
            values[name] = int(number) if number else None
        except ValueError as error:
            raise InvalidError(f"The limit {name} is a whole number, not {number!r}.") from error
    try:
        return Limits.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        raise InvalidError(f"The limit {problem['loc'][-1]} is wrong: {problem['msg']}.") from error


def limits_text(limits: Limits) -> str:
    """Limits in one line."""
    named: Mapping[str, int] = limits.model_dump(exclude_none=True)
    return ", ".join(f"{name}={number}" for name, number in named.items()) or "none"
