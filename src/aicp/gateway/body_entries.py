"""The bodies of one request as they are written down: put together, redacted, cut, compressed."""

from __future__ import annotations

import zlib
from datetime import datetime
from functools import lru_cache

import msgspec

from aicp.core.route import RequestLogEntry
from aicp.gateway.body_trimming import without_tail, without_written_pieces
from aicp.gateway.reassembly import reassemble
from aicp.security.redacted_json import redact_json
from aicp.security.redactors import Redactor

EVENTS = "text/event-stream"
_TEXTS = ("application/json", "text/")
_LEVEL = 3


class Seen(msgspec.Struct):
    """What was seen of one body: its first bytes, and how many it had."""

    kind: str = ""
    data: bytes = b""
    size: int = 0
    whole: bool = True


class BodyEntry(msgspec.Struct, omit_defaults=True):
    """`aicp.core.request_log.BodyRecord` as the data plane writes it."""

    request_id: str
    api_key_id: str
    project: str
    service: str
    endpoint: str
    started_at: datetime
    outcome: str
    status: int | None = None
    request: bytes | None = None
    request_kind: str = ""
    request_bytes: int = 0
    request_cut: bool = False
    answer: bytes | None = None
    answer_kind: str = ""
    answer_bytes: int = 0
    answer_cut: bool = False


def is_text(kind: str) -> bool:
    """Whether bodies of that content type are kept; of others only how long they were."""
    return kind.startswith(_TEXTS)


def fill(entry: BodyEntry, rule: RequestLogEntry, request: Seen, answer: Seen) -> None:
    """Gives `entry` its bodies. Takes a while: not for the event loop."""
    redactor = _redactor(tuple(rule.redact), tuple(rule.patterns))
    entry.request, entry.request_cut = _kept(request, rule.max_body_bytes, redactor)
    entry.answer, entry.answer_cut = _kept(answer, rule.max_body_bytes, redactor)
    entry.request_kind, entry.request_bytes = request.kind, request.size
    entry.answer_kind, entry.answer_bytes = answer.kind, answer.size


def plain(body: bytes | None) -> str | None:
    """The text of a kept body."""
    return None if body is None else zlib.decompress(body).decode()


def _kept(seen: Seen, most: int, redactor: Redactor) -> tuple[bytes | None, bool]:
    """What is kept of a body, None for what is no text, and whether an end of it is missing."""
    cut = seen.size > len(seen.data) or not seen.whole
    if not seen.data or not is_text(seen.kind):
        return None, cut
    data, json, ends = seen.data, seen.kind.startswith(("application/json", "text/json")), not cut
    if seen.kind.startswith(EVENTS):
        data, json, ends = reassemble(data, cut=cut), True, True  # its texts were cut by themselves
    elif json:
        data, readable = without_written_pieces(data)
        ends, cut = ends and readable, cut or not readable
    text = data[:most].decode(errors="ignore")
    if len(data) > most or not ends:
        cut, text = True, without_tail(text)
    kept = (redact_json(text, redactor) if json else redactor.text(text)).encode(errors="replace")
    if len(kept) > most:  # a mask may be longer than what it stands for
        cut, kept = True, kept[:most].decode(errors="ignore").encode()
    return zlib.compress(kept, _LEVEL), cut


@lru_cache(maxsize=256)
def _redactor(names: tuple[str, ...], patterns: tuple[str, ...]) -> Redactor:
    return Redactor(names, patterns)
