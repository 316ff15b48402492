"""Heads of HTTP/1.1 answers."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

JSON: Final = b"application/json"
BYTES: Final = b"application/octet-stream"
EVENTS: Final = b"text/event-stream; charset=utf-8"
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK: Final = b"0\r\n\r\n"
CLIENT_LEFT: Final = 499
"""What is written down as the status of an answer that nobody waited for."""

_STARTS: Final = {
    int(status): b"HTTP/1.1 %d %b\r\ncontent-type: " % (status, status.phrase.encode())
    for status in HTTPStatus
    if status >= HTTPStatus.OK
}


def head(
    status: int,
    content_type: bytes,
    request_id: bytes,
    *,
    length: int | None = None,
    close: bool = False,
    chunked: bool = False,
    more: bytes = b"",
) -> bytes:
    """A response's head. `length` None and not `chunked` means that the end of the connection ends the body."""
    start = _STARTS.get(status) or b"HTTP/1.1 %d Unknown\r\ncontent-type: " % status
    if length is not None:
        framing = b"content-length: %d\r\n" % length
    else:
        framing = b"transfer-encoding: chunked\r\n" if chunked else b""
    ending = b"connection: close\r\n\r\n" if close else b"\r\n"
    return b"%b%b\r\n%bx-request-id: %b\r\n%b%b" % (start, content_type, framing, request_id, more, ending)
