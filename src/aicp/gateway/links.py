"""Media in requests: they reach engines as `data:` only, because an engine must not be sent to fetch addresses.

All of a body is looked through, whatever its endpoint, except a caller's own data: schemas, arguments, metadata. What a
link leads to may be fetched by the gateway itself, see `media.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aicp.gateway.bodies import Fields, read_value
from aicp.gateway.errors import ApiError, invalid

_OWN_DATA: Final = frozenset({"metadata", "response_format", "structured_outputs", "guided_json", "json_schema"})
"""Fields of the body that no engine takes media from."""
_SCHEMAS: Final = frozenset({"parameters", "input_schema", "schema", "json_schema", "arguments"})
_TOOL_USES: Final = frozenset({"tool_use", "server_tool_use", "mcp_tool_use"})
_SERVER: Final = "server_url"
"""It leads to a program, not to a medium: never fetched."""
_MEDIA_FIELDS = ("image_url", "audio_url", "video_url", "file_url", _SERVER)
_PLAIN_FIELDS = ("image", "audio", "video")
"""Fields in which some rerankers take a link, and others a picture in base64 or a choice of voices."""
_WITH_URL: Final = frozenset(
    {"url", "image", "audio", "video", "file", "document", "input_image", "input_audio", "input_file"}
)
"""Types of parts, and of sources of parts, that name their link `url` alone."""
_PLAIN_NAMES: Final = frozenset(name.encode() for name in _PLAIN_FIELDS)
_SIGN: Final = re.compile(rb'"(?:(?<=url")|(?:%b)")' % b"|".join(_PLAIN_NAMES))
"""Without it in its JSON, or an escape, which may be a part of a name, a field holds no link.

An expression that begins with one rare character: looking for each name by itself takes six times as long, where it is
long.
"""
_SIGNS: Final = [b'url"', *(b'"%b"' % name for name in sorted(_PLAIN_NAMES))]
"""What it finds."""
_CONTAINERS: Final = frozenset({b"{", b"["})
_LONG_TEXT: Final = 256
"""Bytes between two quotation marks."""
_SHORT_NAME: Final = 8
_LINK: Final = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]*:/")
_FETCHABLE: Final = re.compile(r"https?://", re.IGNORECASE)
_DATA: Final = "data:"


@dataclass(frozen=True, slots=True)
class Link:
    """An address of a medium (image, audio, video or file): `holder[place]`, somewhere in the top-level `field`."""

    field: str
    holder: Any
    place: Any
    address: str
    medium: str

    def put(self, kind: str, data: str) -> None:
        """Puts the medium in its place: its content type, and its bytes in base64."""
        if self.place == "url" and self.holder.get("type") == "url":  # a source of Anthropic's
            self.holder.clear()
            self.holder.update(type="base64", media_type=kind, data=data)
        else:
            self.holder[self.place] = f"data:{kind};base64,{data}"


class LinkedMedia(ApiError):
    """400, where the gateway does not fetch. `values` are the fields that hold the links, as plain data."""

    def __init__(self, links: Sequence[Link], values: dict[str, Any], fields: Fields) -> None:
        first = links[0]
        super().__init__(400, _refusal(first), param=first.field, code="url_not_allowed")
        self.links, self.values, self.fields = links, values, fields


@dataclass(slots=True)
class Media:
    """How many media a body holds, and how many of its bytes they are."""

    count: int = 0
    size: int = 0

    def add(self, text: str) -> None:
        """Counts one."""
        self.count += 1
        self.size += len(text)


def read_media(fields: Fields, own: tuple[str, ...] = (), text: bytes = b"") -> Media | None:
    """The media of a body, None where it can hold none; `own` are fields that hold one themselves.

    `text` is all that `fields` were read of, or empty: most bodies hold no link anywhere, which one look tells.
    Raises LinkedMedia where all links can be fetched, and ApiError 400 where one would send an engine elsewhere.
    """
    if text and not own and not _may_hold_link(text):
        return None
    held: list[str] = []
    for name, raw in fields.items():
        data = bytes(raw)
        if data[:1] in _CONTAINERS and name not in _OWN_DATA and _may_hold_link(data):
            held.append(name)
    if not held and not own:
        return None
    media, links, values = Media(), list[Link](), dict[str, Any]()
    for name in held:
        values[name] = read_value(bytes(fields[name]))
        links += _links(name, values[name], media)
    for name in own:
        if name in fields:
            values[name] = read_value(bytes(fields[name]))
            found = (Link(name, *place, name.removeprefix("ref_")) for place in _addresses(values, name))
            links += _counted(found, media, plain=True)
    if links:
        wrong = next((link for link in links if link.medium == _SERVER or not _FETCHABLE.match(link.address)), None)
        if wrong is not None:
            raise invalid(_refusal(wrong), param=wrong.field, code="url_not_allowed")
        raise LinkedMedia(links, {link.field: values[link.field] for link in links}, fields)
    return media


def _refusal(link: Link) -> str:
    return f"Media must come as data: URLs; the platform fetches nothing for a caller ({link.address[:60]!r})."


def _may_hold_link(data: bytes) -> bool:
    if data.find(b"\\") >= 0 and data.find(b"\\u") >= 0:
        return True
    if len(data) < _LONG_TEXT:
        for sign in _SIGNS:  # noqa: SIM110 a generator costs more than all it looks for
            if data.find(sign) >= 0:
                return True
        return False
    left = len(data) // _LONG_TEXT
    at = data.find(b'"')
    if data[max(at - 3, 0) : at] == b"url":
        return True
    while left:  # from one quotation mark to the next, as long as they are few
        left -= 1
        end = data.find(b'"', at + 1)
        if end < 0:
            return False
        if data[max(end - 3, 0) : end] == b"url" or (end - at < _SHORT_NAME and data[at + 1 : end] in _PLAIN_NAMES):
            return True
        at = end
    return _SIGN.search(data) is not None


def _links(field: str, value: Any, media: Media) -> Iterator[Link]:
    stack: list[Any] = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            stack.extend(item)
        elif isinstance(item, dict):
            yield from _part_links(field, item, media)
            left_out = _SCHEMAS | {"input"} if _kind(item) in _TOOL_USES else _SCHEMAS
            stack.extend(inner for name, inner in item.items() if name not in left_out)


def _part_links(field: str, part: dict[str, Any], media: Media) -> Iterator[Link]:
    """Addresses in a part, in the forms of all schemas that are served."""
    kind = _kind(part)
    named = (kind,) if kind.endswith("_url") and kind not in _MEDIA_FIELDS else ()
    for name in (*_MEDIA_FIELDS, *named):
        found = (Link(field, *place, _medium(name)) for place in _addresses(part, name))
        yield from _counted(found, media)
    for name in _PLAIN_FIELDS:
        found = (Link(field, *place, name) for place in _addresses(part, name))
        yield from _counted(found, media, plain=True)
    if kind in _WITH_URL:
        yield from _counted((Link(field, *place, _medium(kind)) for place in _addresses(part, "url")), media)
    data = part.get("data")
    if kind == "base64" and isinstance(data, str):
        media.add(data)


def _counted(found: Iterator[Link], media: Media, *, plain: bool = False) -> Iterator[Link]:
    """Those that are links; the others are counted. `plain`: only what looks like a link is one."""
    for link in found:
        if link.address.startswith(_DATA):
            media.add(link.address)
        elif not plain or _LINK.match(link.address):
            yield link


def _medium(name: str) -> str:
    if name == _SERVER:
        return _SERVER
    return next((medium for medium in _PLAIN_FIELDS if medium in name), "file")


def _kind(part: dict[str, Any]) -> str:
    kind = part.get("type")
    return kind if isinstance(kind, str) else ""


def _addresses(holder: Any, place: Any) -> Iterator[tuple[Any, Any, str]]:
    """Texts at a place, each with what holds it and where."""
    value = holder.get(place) if isinstance(holder, dict) else holder[place]
    if isinstance(value, str):
        yield holder, place, value
    elif isinstance(value, dict):
        yield from _addresses(value, "url")
    elif isinstance(value, list):
        for number in range(len(value)):
            yield from _addresses(value, number)
