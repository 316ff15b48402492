"""Forms as hostile clients send them: refused, or read exactly as an engine's parser reads them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from aicp.core.route import RouteEntry
from aicp.gateway.calls import Call, make_call
from aicp.gateway.endpoints import find_endpoint
from aicp.gateway.errors import ApiError
from aicp.gateway.forms import Form, check_form, read_upload
from aicp.gateway.requests import Request
from aicp.gateway.routes import Route

KIND = b"multipart/form-data; boundary=XX"
SOUND = b'RIFF\r\n--X\r\n--\r\n\x00\xff"'
TRANSCRIBE, OCR = "/v1/audio/transcriptions", "/v1/ocr"


def part(name: str, value: bytes | str, more: str = "", head: str = "") -> bytes:
    data = value if isinstance(value, bytes) else value.encode()
    return f'--XX\r\nContent-Disposition: form-data; name="{name}"{more}\r\n{head}\r\n'.encode() + data + b"\r\n"


FILE = part("file", SOUND, '; filename="a b.wav"', "Content-Type: audio/wav\r\n")
MODEL = part("model", "demo")
END = b"--XX--\r\n"


def read(body: bytes, kind: bytes = KIND) -> list[tuple[str, bytes]]:
    form = Form(body, kind)
    return [(part.name, form.value(part)) for part in form.parts]


def refusal(body: bytes, kind: bytes = KIND) -> str:
    with pytest.raises(ApiError) as caught:
        Form(body, kind)
    assert (caught.value.status, len(caught.value.message) < 300) == (400, True)
    return caught.value.code


def request(path: str, body: bytes, kind: bytes = KIND, **headers: bytes) -> Request:
    given = {b"content-type": kind, **{name.replace("_", "-").encode(): value for name, value in headers.items()}}
    made = Request("r", datetime(2026, 1, 1, tzinfo=UTC), b"POST", path.encode(), given, old=False)
    made.endpoint, made.parts = find_endpoint(b"POST", path.encode()), [body]
    return made


def call(path: str, body: bytes, *, served: str | None = None, inner: str = "demo") -> Call:
    entry = RouteEntry("demo", "demo", None, "chat", "test", inner, [served or path], ["priority"], [])
    asked = request(path, body)
    check_form(asked)
    assert asked.endpoint is not None
    return make_call(asked.endpoint, Route(entry, ()), read_upload(asked))


def test_a_form_is_read_and_passed_on_in_its_own_bytes() -> None:
    body = FILE + MODEL + part("stream", "True") + part("timestamp_granularities[]", "word") * 2 + part("x", "") + END
    assert read(body)[0] == ("file", SOUND)
    assert dict(Form(body, KIND))["stream"] == msgspec.Raw(b"true")
    made = call(TRANSCRIBE, body)
    assert (made.body, made.kind, made.stream) == (body, KIND, True)
    assert made.body is body


def test_another_name_of_the_model_is_put_in_its_place() -> None:
    for body in (MODEL + FILE + END, FILE + MODEL + END):
        made = call(TRANSCRIBE, body, inner="inner-model")
        assert made.body == body.replace(b"\r\n\r\ndemo\r\n", b"\r\n\r\ninner-model\r\n")


@pytest.mark.parametrize("kind", [b'Multipart/Form-Data;boundary="XX"', b"multipart/form-data ; boundary=XX "])
def test_content_types_of_sound_clients(kind: bytes) -> None:
    assert read(MODEL + END, kind) == [("model", b"demo")]


@pytest.mark.parametrize(
    "kind",
    [
        b"multipart/form-data",
        b"multipart/form-data; boundary=",
        b'multipart/form-data; boundary=""',
        b"multipart/form-data; boundary=XX; charset=utf-16",
        b"multipart/form-data; charset=utf-16; boundary=XX",
        b"multipart/form-data; boundary=YY; boundary=XX",
        b"multipart/form-data; boundary*=XX",
        b"multipart/form-data; boundary=" + b"X" * 71,
        b'multipart/form-data; boundary="X\\"X"',
        b"multipart/form-data; boundary=X\x00X",
        b"multipart/mixed; boundary=XX",
    ],
)
def test_a_boundary_that_can_be_read_in_two_ways_is_refused(kind: bytes) -> None:
    assert refusal(MODEL + END, kind) == "malformed_form"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--XX",
        END[:-4],
        b"\r\n" + MODEL + END,
        b"preamble\r\n" + MODEL + END,
        MODEL,
        MODEL + b"--XX\r\n",
        MODEL + b"--XX-",
        MODEL + END + b"epilogue",
        MODEL + END + MODEL + END,
        MODEL + b"--XX \r\n" + FILE[6:] + END,
        (MODEL + FILE + END).replace(b"\r\n", b"\n"),
        MODEL + b"--XX\n" + FILE[6:] + END,
        MODEL + b'--XXX\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n' + END,
        MODEL + MODEL + FILE + END,
        MODEL + part("model", "other", '; filename="m"') + END,
        part("mod\\el", "demo") + END,
        part('model"; name="other', "demo") + END,
        part("model", "demo", "; name=other") + END,
        part("model", "demo", "; name*=utf-8''other") + END,
        part("file", SOUND, '; filename="a"; filename*=utf-8\'\'b') + END,
        part("file", SOUND, '; filename="a\\"; name=\\"model"') + END,
        part("model", "demo", head="Content-Transfer-Encoding: base64\r\n") + END,
        part("model", "demo", head='Content-Disposition: form-data; name="other"\r\n') + END,
        part("model", "demo", head='X: a\r\n Content-Disposition: form-data; name="other"\r\n') + END,
        part("model", "demo", head='X: a\nContent-Disposition: form-data; name="other"\r\n') + END,
        part("model", "demo", head="X-Long: " + "a" * 5000 + "\r\n") + END,
        b"--XX\r\n\r\nvalue\r\n" + END,
        b'--XX\r\nContent-Disposition: attachment; name="model"\r\n\r\ndemo\r\n' + END,
        b'--XX\r\nContent-Disposition: form-data; name="model"\r\n\r\n--XX--\r\n',
        b'--XX\r\nContent-Disposition : form-data; name="model"\r\n\r\ndemo\r\n' + END,
        part("model", b"\xff\xfe") + END,
        part("model", "x" * 70_000) + END,
        part("a", "b") * 40 + MODEL + END,
        b"".join(part(f"a{number}", "b") for number in range(100)) + END,
        b"--XX\r\n" * 1000,
        b'--XX\r\nContent-Disposition: form-data; name="a' + b" " * 4000,
        b"--XX\r\nContent-Disposition: form-data;" + b" " * 3900 + b"\r\n\r\n\r\n" + END,
    ],
)  # fmt: skip
def test_what_parsers_read_differently_or_not_at_all_is_refused(body: bytes) -> None:
    assert refusal(body) == "malformed_form"


def test_a_field_that_steers_the_engine_is_refused_by_name_with_brackets_too_and_as_a_file() -> None:
    for field in (part("priority", "1"), part("priority[]", "1"), part("priority", "1", '; filename="p"')):
        with pytest.raises(ApiError) as caught:
            call(TRANSCRIBE, MODEL + FILE + field + END)
        assert caught.value.param == "priority"


@pytest.mark.parametrize("files", [b"", part("file", "no file"), FILE + part("more", "x", '; filename="m"')])
def test_a_form_of_sound_holds_one_file(files: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        call(TRANSCRIBE, MODEL + files + END)
    assert caught.value.param == "file"


def test_flags_are_read_as_engines_read_them() -> None:
    for text, value in (("on", True), ("0", False), ("", False)):
        assert call(TRANSCRIBE, MODEL + FILE + part("stream", text) + END).stream is value
    with pytest.raises(ApiError, match="'stream' must be true or false"):
        call(TRANSCRIBE, MODEL + FILE + part("stream", "maybe") + END)


def test_images_of_a_form_become_data_urls() -> None:
    image = part("image", b"\x89PNG", '; filename="a.png"', "Content-Type: image/PNG; x=y\r\n")
    made = call(OCR, MODEL + image + part("language", "de") + END)
    assert msgspec.json.decode(made.body) == {
        "model": "demo",
        "language": "de",
        "image": "data:image/png;base64,iVBORw==",
    }
    several = image.replace(b'"image"', b'"image[]"')
    assert (
        msgspec.json.decode(call(OCR, MODEL + several * 2 + END).body)["image"]
        == ["data:image/png;base64,iVBORw=="] * 2
    )
    for wrong in (image.replace(b"PNG;", b"x-shellscript;").replace(b"image/x", b"text/x"), FILE, part("image", "x")):
        with pytest.raises(ApiError, match=r"image/png|must be called"):
            call(OCR, MODEL + wrong + END)


def test_kinds_and_encodings_that_are_not_taken() -> None:
    for path, kind in ((TRANSCRIBE, b"application/json"), (OCR, b"text/plain"), (TRANSCRIBE, b"audio/wav")):
        with pytest.raises(ApiError) as caught:
            check_form(request(path, b"", kind))
        assert caught.value.status == 415
    with pytest.raises(ApiError, match="compressed"):
        check_form(request(TRANSCRIBE, b"", content_encoding=b"gzip"))
    check_form(request(OCR, b"", b"application/json"))


async def parsed_by_an_engine(body: bytes) -> list[tuple[str, bytes, bool]]:
    """As FastAPI reads it, and so vLLM."""

    async def stream() -> AsyncIterator[bytes]:
        yield body

    form = await MultiPartParser(Headers({"content-type": KIND.decode()}), stream()).parse()
    found: list[tuple[str, bytes, bool]] = []
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            found.append((name, await value.read(), True))
        else:
            found.append((name, value.encode("utf-8", "surrogateescape"), False))
    return found


PIECES = st.sampled_from(
    [
        b"--XX\r\n",
        b"--XX--\r\n",
        b"--XX--",
        b"\r\n--XX\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b"--",
        b"XX",
        b'Content-Disposition: form-data; name="model"\r\n',
        b'Content-Disposition: form-data; name="priority"',
        b'; filename="a"\r\n',
        b"content-type: audio/wav\r\n",
        b"\r\n\r\n",
        b"demo",
        b"\x00\xff",
        b'"',
        b";",
        b"\\",
        MODEL,
        FILE,
        END,
    ]
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SOUND_PARTS = st.builds(
    lambda name, value, file: part(name, value, '; filename="f"' if file else ""),
    st.sampled_from(["model", "file", "a", "b[]", "priority"]),
    st.one_of(TEXTS.map(str.encode), PIECES),
    st.booleans(),
)
BODIES = st.one_of(
    st.lists(PIECES, max_size=14).map(b"".join),
    st.lists(SOUND_PARTS, max_size=4).map(lambda parts: b"".join(parts) + END),
    st.binary(max_size=80).map(lambda data: MODEL + FILE.replace(SOUND, data) + END),
)


@settings(max_examples=800, deadline=None)
@given(BODIES)
@example(MODEL + FILE + END)
@example(MODEL + part("file", b"\r\n--XX", '; filename="f"') + END)
def test_what_is_taken_is_what_an_engine_reads(body: bytes) -> None:
    form = None
    with suppress(ApiError):
        form = Form(body, KIND)
    if form is None:
        return
    ours = [(part.name, form.value(part), part.file) for part in form.parts]
    try:
        theirs = asyncio.run(parsed_by_an_engine(body))
    except MultiPartException:
        return  # the engine refuses it
    assert ours == theirs


def test_a_large_form_takes_no_long() -> None:
    """Sixteen million bytes that all but begin a boundary, in less than a second."""
    body: Any = MODEL + part("file", b"\r\n--X" * (16 * 2**20 // 5), '; filename="f"') + END
    assert len(read(body)) == 2
