"""Forms that bring a file: what they may hold beside it is bounded, whatever the shape."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable

import pytest

from aicp.api.multipart import Form, read_form
from aicp.core.errors import MalformedError

KIND = "multipart/form-data; boundary=XX"
END = b"--XX--\r\n"


def part(name: str, value: bytes, more: str = "") -> bytes:
    return f'--XX\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + value + b"\r\n"


def file(content: bytes) -> bytes:
    return part("file", content, '; filename="a.jsonl"')


class Body:
    """A body in pieces, of which it is known how many were taken."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces, self.taken, self.file = pieces, 0, bytearray()

    async def read(self) -> Form:
        return await read_form(KIND, self._come(), self._write)

    async def _come(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            self.taken += 1
            yield piece

    async def _write(self, piece: bytes) -> None:
        self.file += piece


@pytest.mark.parametrize("size", [1, 7, 1 << 16])
async def test_a_file_passes_whole_beside_its_fields(size: int) -> None:
    content = b"\r\n--X\r\n-" * 20_000
    whole = part("purpose", b"batch") + file(content) + part("expires_after[seconds]", b"3600") + END
    body = Body(whole[start : start + size] for start in range(0, len(whole), size))
    form = await body.read()
    assert body.file == content
    assert form == Form({"purpose": "batch", "expires_after[seconds]": "3600"}, "a.jsonl")


@pytest.mark.parametrize(
    "piece",
    [
        lambda number: part(f"name {number}", b""),
        lambda number: part(f"name {number}", b"value"),
        lambda number: part("same", b""),
        lambda number: part("same", b"x" * 1000),
        lambda number: part("same", b"", f'; x="{"y" * 1000}"'),
    ],
    ids=["empty fields", "fields", "one field again and again", "long values", "long heads"],
)
async def test_a_form_without_end_is_refused_soon(piece: Callable[[int], bytes]) -> None:
    body = Body(piece(number) for number in range(100_000))
    with pytest.raises(MalformedError):
        await body.read()
    assert body.taken < 2000


async def test_one_field_too_many_is_refused_even_in_one_piece() -> None:
    fields = [part(f"name {number}", b"") for number in range(51)]
    assert len((await Body([b"".join(fields[:50]) + END]).read()).fields) == 50
    with pytest.raises(MalformedError, match="too many fields"):
        await Body([b"".join(fields) + END]).read()


async def test_what_follows_the_end_counts_too() -> None:
    body = Body([file(b"x") + END, *[b"x" * 1000] * 1000])
    with pytest.raises(MalformedError):
        await body.read()
    assert body.taken < 100
