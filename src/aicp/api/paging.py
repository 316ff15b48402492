"""Query parameters that every list takes."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

Offset = Annotated[int, Query(ge=0, le=10_000_000, description="rows to pass over")]
Limit = Annotated[int, Query(ge=1, le=500, description="rows to answer at most")]
Sort = Annotated[str, Query(max_length=60, description="a field; `-` before it: falling")]
Search = Annotated[str | None, Query(max_length=200, description="a part of the name or text")]
