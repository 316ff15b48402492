"""Rows of any number as a CSV file, sent while they are read."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from fastapi.responses import StreamingResponse

_LINES_AT_ONCE = 500
CSV_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/csv": {"schema": {"type": "string"}}}, "description": "All that match, as CSV."}
}
"""What a route that answers with `csv_response` says in the OpenAPI document."""


def csv_response(name: str, columns: Sequence[str], rows: AsyncIterator[Mapping[str, Any]]) -> StreamingResponse:
    """A download called `name` with one line for each of `rows`."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(_lines(columns, rows), media_type="text/csv; charset=utf-8", headers=headers)


async def _lines(columns: Sequence[str], rows: AsyncIterator[Mapping[str, Any]]) -> AsyncIterator[str]:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\r\n")
    writer.writeheader()
    count = 0
    async for row in rows:
        writer.writerow({name: _plain(value) for name, value in row.items()})
        count += 1
        if count % _LINES_AT_ONCE == 0:
            yield text.getvalue()
            text.seek(0)
            text.truncate()
    yield text.getvalue()


def _plain(value: Any) -> Any:
    """A text that a spreadsheet would run as a formula, kept from it."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
