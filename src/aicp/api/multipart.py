"""A form with one file, read as it comes: its bytes go on piece by piece and are never held as a whole."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from aicp.core.errors import MalformedError

_MOST_FIELDS = 50
_MOST_BESIDE = 1 << 16
"""Bytes of a form that are not its file's: fields, names, boundaries."""
_HINT = "Send multipart/form-data with the fields `purpose` and `file`, as OpenAI's clients do."


@dataclass(slots=True)
class Form:
    """The fields that came; `filename` is None when there was no file."""

    fields: dict[str, str] = field(default_factory=dict[str, str])
    filename: str | None = None


async def read_form(content_type: str, pieces: AsyncIterator[bytes], write: Callable[[bytes], Awaitable[None]]) -> Form:
    """Reads a whole form; the bytes of its part `file` go to `write`. Raises MalformedError for what is none."""
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise MalformedError("A file comes as a form.", hint=_HINT)
    reader, beside = _Reader(), 0
    try:
        parser = MultipartParser(boundary, reader.callbacks())
        async for piece in pieces:
            parser.write(piece)
            file = reader.take()
            beside += len(piece) - sum(map(len, file))
            if beside > _MOST_BESIDE:
                raise FormParserError("it has too much beside the file")
            for found in file:
                await write(found)
        parser.finalize()
    except FormParserError as error:
        raise MalformedError(f"The form cannot be read: {error}.", hint=_HINT) from error
    if not reader.ended:
        raise MalformedError("The form ended early.", hint=_HINT)
    return reader.form


class _Reader:
    """What the parser calls back."""

    def __init__(self) -> None:
        self.form = Form()
        self.ended = False
        self._header = (bytearray(), bytearray())
        self._name = ""
        self._is_file = False
        self._value = bytearray()
        self._pieces: list[bytes] = []

    def callbacks(self) -> Any:
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
            "on_header_end": self._end_header,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_end": self._finish,
        }

    def take(self) -> list[bytes]:
        """Pieces of the file that came."""
        pieces, self._pieces = self._pieces, []
        return pieces

    def _begin(self) -> None:
        self._header, self._name, self._is_file = (bytearray(), bytearray()), "", False
        self._value = bytearray()

    def _end_header(self) -> None:
        name, value = self._header
        self._header = (bytearray(), bytearray())
        if bytes(name).lower() != b"content-disposition":
            return
        _, options = parse_options_header(bytes(value))
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        if self._name == "file":
            if self.form.filename is not None:
                raise FormParserError("it has two files")
            self._is_file = True
            self.form.filename = options.get(b"filename", b"file").decode("utf-8", "replace")

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._pieces.append(data[start:end])
        else:
            self._value += data[start:end]

    def _end(self) -> None:
        if self._is_file:
            return
        if len(self.form.fields) >= _MOST_FIELDS:
            raise FormParserError("it has too many fields")
        self.form.fields[self._name] = self._value.decode("utf-8", "replace")

    def _finish(self) -> None:
        self.ended = True
