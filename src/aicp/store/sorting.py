"""The order of a list, as a user asks for it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from aicp.core.errors import InvalidError
from aicp.store.database import Base


def order_by(table: type[Base], sort: str, allowed: Collection[str]) -> list[Any]:
    """Columns to order by: `sort` is one of `allowed`, with `-` for falling order; what is missing comes last.

    The primary key settles ties, so that no row is on two pages. Raises InvalidError for another field.
    """
    name = sort.removeprefix("-")
    if name not in allowed:
        raise InvalidError(
            f"This list cannot be sorted by {name!r}.", hint=f"By: {', '.join(allowed)}; - before it: falling."
        )
    falling = sort.startswith("-")
    wanted = table.__table__.c[name]
    ties = [column.desc() if falling else column.asc() for column in table.__table__.primary_key]
    return [(wanted.desc() if falling else wanted.asc()).nulls_last(), *ties]
