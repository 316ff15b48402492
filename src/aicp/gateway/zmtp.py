"""The receiving side of a ZeroMQ publisher on a unix socket: ZMTP 3.0 (https://rfc.zeromq.org/spec/23/), no security.

A library for it would bring a C++ runtime of its own for what is a greeting, one command and frames.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

_SIGNATURE = b"\xff" + bytes(8) + b"\x7f"
_GREETING = _SIGNATURE + b"\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
_KIND = b"\x0bSocket-Type"
_READY = b"\x05READY" + _KIND + (3).to_bytes(4, "big") + b"SUB"
_SUBSCRIBE_ALL = b"\x00\x01\x01"
_MORE, _LONG, _COMMAND = 1, 2, 4
_MOST_BYTES = 64 << 20
_MOST_PARTS = 16


class BrokenPublisherError(Exception):
    """What comes is no ZMTP, or more than anybody would send."""


async def subscribe(path: str) -> AsyncGenerator[list[bytes]]:
    """All messages from now on, each as its parts.

    Raises OSError or EOFError (asyncio.IncompleteReadError) when the connection cannot be made or ends, and
    BrokenPublisherError.
    """
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(_GREETING)
        greeting = await reader.readexactly(len(_GREETING))
        if greeting[:1] + greeting[9:11] != b"\xff\x7f\x03" or greeting[12:32].rstrip(b"\0") != b"NULL":
            raise BrokenPublisherError(f"{path} does not speak ZMTP 3")
        writer.write(bytes((_COMMAND, len(_READY))) + _READY + _SUBSCRIBE_ALL)
        parts: list[bytes] = []
        while True:
            flags, body = await _frame(reader)
            if flags & _COMMAND:
                continue  # that it is ready; others are sent only to those who ask for them
            parts.append(body)
            if len(parts) > _MOST_PARTS:
                raise BrokenPublisherError(f"{path} sent a message of more than {_MOST_PARTS} parts")
            if not flags & _MORE:
                yield parts
                parts = []
    finally:
        writer.close()


async def _frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    flags = (await reader.readexactly(1))[0]
    size = int.from_bytes(await reader.readexactly(8 if flags & _LONG else 1), "big")
    if size > _MOST_BYTES:
        raise BrokenPublisherError(f"a frame of {size} bytes is more than a publisher sends")
    return flags, await reader.readexactly(size)
