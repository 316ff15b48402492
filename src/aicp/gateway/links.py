"""Links in requests: media come as `data:` only, because an engine must not be sent to fetch addresses.

All of a body is looked through, whatever its endpoint, except a caller's own data: schemas, arguments, metadata.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from aicp.gateway.bodies import Fields, read_value
from aicp.gateway.errors import invalid

_OWN_DATA = frozenset({"metadata", "response_format", "structured_outputs", "guided_json", "json_schema"})
"""Fields of the body that no engine takes media from."""
_SCHEMAS = frozenset({"parameters", "input_schema", "schema", "json_schema", "arguments"})
_TOOL_USES = frozenset({"tool_use", "server_tool_use", "mcp_tool_use"})
_MEDIA_FIELDS = ("image_url", "audio_url", "video_url", "file_url", "server_url")
_PLAIN_FIELDS = ("image", "audio", "video")
"""Fields in which some rerankers take a link, and others a picture in base64 or a choice of voices."""
_WITH_URL = frozenset(
    {"url", "image", "audio", "video", "file", "document", "input_image", "input_audio", "input_file"}
)
"""Types of parts, and of sources of parts, that name their link `url` alone."""
_SIGN = re.compile(rb'"(?:(?<=url")|(?:%b)")' % b"|".join(name.encode() for name in _PLAIN_FIELDS))
_ESCAPE = re.compile(rb"\\u")
"""Without one of the two in its JSON, a field holds no link: an escape may be a part of a name.

Expressions that begin with one rare character: looking for each name by itself takes six times as long.
"""
_LINK = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]*:/")


def check_links(fields: Fields) -> None:
    """Raises ApiError 400 when a field would send the engine to an address."""
    for name, raw in fields.items():
        data = bytes(raw)
        if name not in _OWN_DATA and data[:1] in (b"{", b"[") and _may_hold_link(data):
            link = _first_link(read_value(data))
            if link is not None:
                message = f"Media must come as data: URLs; the platform fetches nothing for a caller ({link[:60]!r})."
                raise invalid(message, param=name, code="url_not_allowed")


def _may_hold_link(data: bytes) -> bool:
    return _SIGN.search(data) is not None or (b"\\" in data and _ESCAPE.search(data) is not None)


def _first_link(value: Any) -> str | None:
    stack: list[Any] = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            stack.extend(item)
        elif isinstance(item, dict):
            link = next(_links(item), None)
            if link is not None:
                return link
            left_out = _SCHEMAS | {"input"} if _kind(item) in _TOOL_USES else _SCHEMAS
            stack.extend(inner for name, inner in item.items() if name not in left_out)
    return None


def _links(part: dict[str, Any]) -> Iterator[str]:
    """Addresses in a part, in the forms of all schemas that are served."""
    kind = _kind(part)
    named = (kind,) if kind.endswith("_url") and kind not in _MEDIA_FIELDS else ()
    for field in (*_MEDIA_FIELDS, *named):
        yield from (address for address in _addresses(part.get(field)) if not address.startswith("data:"))
    for field in _PLAIN_FIELDS:
        yield from (address for address in _addresses(part.get(field)) if _LINK.match(address))
    if kind in _WITH_URL:
        yield from (address for address in _addresses(part.get("url")) if not address.startswith("data:"))


def _kind(part: dict[str, Any]) -> str:
    kind = part.get("type")
    return kind if isinstance(kind, str) else ""


def _addresses(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from _addresses(value.get("url"))
    elif isinstance(value, list):
        for item in value:
            yield from _addresses(item)
