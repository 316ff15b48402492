"""Bodies of multipart/form-data: read strictly, because an engine's own parser must never see other fields than these.

What two parsers may read differently is refused: fields given twice, other charsets and encodings, names that are
escaped or folded, bytes before the first part. The body itself is passed on as it came.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from aicp.gateway.bodies import Fields, encode, read_fields
from aicp.gateway.errors import ApiError, invalid
from aicp.gateway.requests import Request

_JSON_TYPES = (b"application/json", b"text/json")
_FORM = b"multipart/form-data"
_BOUNDARY = re.compile(rb"multipart/form-data *; *boundary=(?:\"([^\"]{1,70})\"|([^\" ;]{1,70})) *", re.I)
_BOUNDARY_TEXT = re.compile(rb"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
_DISPOSITION = re.compile(
    rb'form-data; *name="([A-Za-z0-9_.-]{1,64}(?:\[\])?)"( *; *filename="[^"\\\r\n\x00]{0,1024}")? *', re.I
)
_PART_KIND = re.compile(rb"([a-z]+/[a-z0-9.+-]{1,80}) *(?:;[^\r\n]{0,200})?", re.I)
_MOST_PARTS = 64
_HEADER_BYTES = 4096
_TEXT_BYTES = 1 << 16
_TRUE, _FALSE = ("true", "1", "on", "yes"), ("false", "0", "off", "no", "")


@dataclass(frozen=True, slots=True)
class Part:
    """One part: `start` and `end` are where its value lies in the body. `kind` is a file's content type."""

    name: str
    start: int
    end: int
    file: bool
    kind: str


class Form(dict[str, msgspec.Raw]):
    """A form as fields: its texts as JSON, empty texts for its files. `kind` is its content type."""

    def __init__(self, body: bytes, kind: bytes) -> None:
        super().__init__()
        self.kind = kind
        self._body = body
        self.parts = list(_parts(body, _boundary(kind)))
        for part in self.parts:
            if part.name in self and not part.name.endswith("[]"):
                raise _wrong(f"The field {part.name!r} stands in the form twice.", part.name)
            self[part.name] = msgspec.Raw(b'""' if part.file else encode(self._text(part)))
        if "stream" in self:
            self["stream"] = msgspec.Raw(_flag(self["stream"]))

    @property
    def file_bytes(self) -> int:
        """What of the body is files."""
        return sum(part.end - part.start for part in self.parts if part.file)

    def value(self, part: Part) -> bytes:
        """The bytes of a part."""
        return self._body[part.start : part.end]

    def body(self, model: str) -> bytes:
        """The body as it came, with another model in it where it names another."""
        part = next((part for part in self.parts if part.name == "model"), None)
        if part is None:  # it came where only one model is served
            line = b"--" + _boundary(self.kind)
            at = self._body.index(line)
            added = b'%b\r\nContent-Disposition: form-data; name="model"\r\n\r\n%b\r\n' % (line, model.encode())
            return self._body[:at] + added + self._body[at:]
        if self._text(part) == model:
            return self._body
        return self._body[: part.start] + model.encode() + self._body[part.end :]

    def _text(self, part: Part) -> str:
        if part.end - part.start > _TEXT_BYTES:
            raise _wrong(f"The field {part.name!r} is longer than {_TEXT_BYTES // 1024} KiB.", part.name)
        try:
            return str(self.value(part), "utf-8")
        except UnicodeDecodeError as error:
            raise _wrong(f"The field {part.name!r} is not UTF-8.", part.name) from error


def check_form(request: Request) -> None:
    """Raises ApiError 415 for a body that the request's endpoint does not take."""
    endpoint, kind = request.endpoint, request.headers.get(b"content-type", _JSON_TYPES[0])
    name = kind.partition(b";")[0].strip().lower()
    json = endpoint is not None and endpoint.json
    if name != _FORM and not (json and name in _JSON_TYPES):
        wanted = "multipart/form-data" + (" or application/json" if json else "")
        shown = kind[:80].decode("ascii", "replace")
        raise ApiError(415, f"The body must be {wanted}, not {shown}.", code="unsupported_media_type")
    encoding = request.headers.get(b"content-encoding")
    if encoding is not None and encoding.lower() != b"identity":
        raise ApiError(415, "The body must not be compressed.", code="unsupported_media_type")
    if name == _FORM:
        _boundary(kind)


def read_upload(request: Request) -> Fields:
    """The fields of a body that may be a form; where its endpoint takes JSON too, of its files as `data:` URLs.

    Raises ApiError 400.
    """
    endpoint, kind = request.endpoint, request.headers.get(b"content-type", _JSON_TYPES[0])
    if kind.partition(b";")[0].strip().lower() != _FORM:
        return read_fields(request.body())
    form = Form(request.body(), kind)
    return _with_data(form, endpoint.field) if endpoint is not None and endpoint.json else form


def _with_data(form: Form, field: str) -> Fields:
    """The fields as JSON, with all files (`image`, `image[]` or `file`) in the one named `field`."""
    files: list[str] = []
    for part in form.parts:
        if part.file and part.name.removesuffix("[]") not in (field, "file"):
            raise _wrong(f"A file must be called {field!r}, not {part.name!r}.", part.name)
        if part.file:
            files.append(f"data:{part.kind};base64,{base64.b64encode(form.value(part)).decode()}")
    names = {part.name for part in form.parts if part.file}
    fields: Fields = {name: raw for name, raw in form.items() if name not in names}
    if files:
        fields[field] = msgspec.Raw(encode(files if len(files) > 1 else files[0]))
    return fields


def _boundary(kind: bytes) -> bytes:
    """Nothing but a boundary may follow the type: a charset would be read by some."""
    match = _BOUNDARY.fullmatch(kind.strip())
    boundary = (match[1] or match[2]) if match is not None else b""
    if not _BOUNDARY_TEXT.fullmatch(boundary):
        raise _wrong("The content type must be multipart/form-data with a boundary of RFC 2046 and nothing else.")
    return boundary


def _parts(body: bytes, boundary: bytes) -> Iterator[Part]:
    delimiter = b"\r\n--" + boundary
    if not body.startswith(delimiter[2:]):
        raise _wrong("The body does not begin with its boundary.")
    at = len(delimiter) - 2
    for _ in range(_MOST_PARTS):
        if body.startswith(b"--", at):
            if body[at + 2 : at + 5] not in (b"", b"\r\n"):
                raise _wrong("Something follows the end of the form.")
            return
        if not body.startswith(b"\r\n", at):
            raise _wrong("A boundary is not followed by the end of its line.")
        end = body.find(b"\r\n\r\n", at, at + _HEADER_BYTES)
        start, stop = end + 4, body.find(delimiter, end + 4)
        if end < 0 or stop < 0 or body.startswith(delimiter[2:], start):
            raise _wrong("A part of the form has no end, or no head that ends within 4 KiB.")
        yield _part(body[at + 2 : end], start, stop)
        at = stop + len(delimiter)
    raise _wrong(f"The form has more than {_MOST_PARTS} parts.")


def _part(head: bytes, start: int, end: int) -> Part:
    lines: dict[bytes, bytes] = {}
    for line in head.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        sound = colon and re.fullmatch(rb"[A-Za-z-]{1,64}", name) and not {*b"\r\n"} & {*value}
        if not sound or name.lower() in lines:
            raise _wrong("A part of the form has a head that is none.")
        lines[name.lower()] = value.strip(b" \t")
    match = _DISPOSITION.fullmatch(lines.get(b"content-disposition", b""))
    if match is None:
        raise _wrong('A part of the form must say `form-data; name="..."`, maybe with a `filename`, and no more.')
    if lines.get(b"content-transfer-encoding", b"binary").lower() not in (b"binary", b"8bit", b"7bit"):
        raise _wrong("A part of the form is encoded; parts are sent as they are.", match[1].decode())
    kind = _PART_KIND.fullmatch(lines.get(b"content-type", b"application/octet-stream"))
    if kind is None:
        raise _wrong("A part of the form has a content type that is none.", match[1].decode())
    return Part(match[1].decode(), start, end, match[2] is not None, kind[1].decode().lower())


def _flag(raw: msgspec.Raw) -> bytes:
    text = msgspec.json.decode(raw, type=str).lower()
    if text not in (*_TRUE, *_FALSE):
        raise invalid("The field 'stream' must be true or false.", param="stream", code="invalid_type")
    return b"true" if text in _TRUE else b"false"


def _wrong(message: str, param: str | None = None) -> ApiError:
    return invalid(message, param=param, code="malformed_form")
