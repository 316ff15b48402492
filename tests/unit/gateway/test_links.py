"""No address reaches an engine, in whatever shape an endpoint takes media; a caller's own data is no medium."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aicp.core.route import RouteEntry
from aicp.gateway import endpoints
from aicp.gateway.bodies import read_fields
from aicp.gateway.calls import make_call
from aicp.gateway.endpoints import find_endpoint
from aicp.gateway.errors import ApiError
from aicp.gateway.links import read_media
from aicp.gateway.routes import Route

LINK, DATA = "http://169.254.169.254/latest/meta-data", "data:image/png;base64,AAAA"
CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
PATHS = [
    CHAT,
    "/v1/completions",
    "/v1/embeddings",
    "/v1/rerank",
    "/v2/rerank",
    "/v1/score",
    RESPONSES,
    MESSAGES,
    "/v1/messages/count_tokens",
    "/v1/tokenize",
    "/v1/detokenize",
    "/v1/moderations",
    "/v1/audio/speech",
    "/v1/ocr",
]
NEEDED: dict[str, Any] = {
    "messages": [{"role": "user", "content": "Hi"}],
    "prompt": "Hi",
    "input": "Hi",
    "query": "Hi",
    "tokens": [1],
    "image": DATA,
    "max_tokens": 5,
}


def attempt(path: str, body: dict[str, Any], *, served: list[str] | None = None) -> str | None:
    """The field that is refused for its link, or what else is said; None when the body passes."""
    entry = RouteEntry("demo", "demo", None, "chat", "test", "inner", served or PATHS, [], [])
    try:
        make_call(find_endpoint(b"POST", path.encode()), Route(entry, ()), read_fields(json.dumps(body).encode()))
    except ApiError as error:
        return error.param if error.code == "url_not_allowed" else error.message
    return None


def user(*parts: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, *parts]}]}


def said(*parts: Any) -> dict[str, Any]:
    return {"input": [{"role": "user", "content": [{"type": "input_text", "text": "What is it?"}, *parts]}]}


def media(link: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Path, field and body for every shape that takes media."""
    source = {"type": "url" if link is LINK else "base64", "url": link}
    content = {"content": [{"type": "image_url", "image_url": {"url": link}}]}
    file = {"type": "input_file", "file_url": link}
    shapes: list[tuple[str, str, dict[str, Any]]] = [
        (CHAT, "messages", user({"type": kind, kind: {"url": link}}))
        for kind in ("image_url", "audio_url", "video_url", "file_url", "depth_map_url")
    ]
    shapes += [
        (CHAT, "messages", user({"type": "image_url", "image_url": link})),
        (CHAT, "messages", user({"image_url": link})),
        (CHAT, "messages", user({"image_url": [link]})),
        (CHAT, "messages", user({"image_url": {"url": link}, "uuid": "1"})),
        (CHAT, "messages", user({"type": "image", "image": link})),
        (CHAT, "messages", user({"type": "image", "url": link})),
        (CHAT, "messages", {"messages": [{"role": "tool", "tool_call_id": "c", **content}]}),
        ("/v1/completions", "prompt", {"prompt": [content]}),
        ("/v1/embeddings", "input", {"input": [content]}),
        ("/v1/embeddings", "messages", {"input": "x", "messages": [{"role": "user", **content}]}),
        *((path, "documents", {"query": "q", "documents": [content]}) for path in ("/v1/rerank", "/v2/rerank")),
        *((path, "documents", {"query": "q", "documents": content}) for path in ("/v1/rerank", "/v2/rerank")),
        ("/v1/rerank", "query", {"query": content, "documents": ["a"]}),
        ("/v1/rerank", "documents", {"query": "q", "documents": [{"text": "a"}, {"image": link}]}),
        ("/v1/rerank", "query", {"query": {"image": link}, "documents": ["a"]}),
        *(
            ("/v1/score", name, {"text_1": "a", "text_2": "b", name: content})
            for name in ("text_1", "text_2", "queries", "documents", "items", "data_1", "data_2")
        ),
        (RESPONSES, "input", said({"type": "input_image", "image_url": link})),
        (RESPONSES, "input", said({"type": "input_image", "image_url": {"url": link}})),
        (RESPONSES, "input", said(file)),
        (RESPONSES, "input", {"input": [{"type": "function_call_output", "call_id": "c", "output": [file]}]}),
        (RESPONSES, "input", {"input": [{"type": "computer_call_output", "output": {"image_url": link}}]}),
        (RESPONSES, "prompt", {"input": "x", "prompt": {"id": "p", "variables": {"picture": file}}}),
        (RESPONSES, "tools", {"input": "x", "tools": [{"type": "mcp", "server_label": "s", "server_url": link}]}),
        (RESPONSES, "tools", {"input": "x", "tools": [{"type": "image_generation", "mask": {"image_url": link}}]}),
    ]
    shapes += [
        ("/v1/tokenize", "messages", {"messages": [{"role": "user", **content}]}),
        ("/v1/detokenize", "tokens", {"tokens": [content]}),
        ("/v1/moderations", "input", {"input": [{"type": "image_url", "image_url": {"url": link}}]}),
        ("/v1/audio/speech", "ref_audio", {"ref_audio": link}),
        *(("/v1/ocr", "image", {"image": image}) for image in (link, [DATA, link])),
    ]
    for path in (MESSAGES, "/v1/messages/count_tokens"):
        result = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "image", "source": source}]}
        document = {"type": "document", "source": {"type": "content", "content": [{"type": "image", "source": source}]}}
        shapes += [
            (path, "messages", user({"type": "image", "source": source})),
            (path, "messages", user({"type": "document", "source": source})),
            (path, "messages", user(document)),
            (path, "messages", user(result)),
            (path, "system", {"system": [{"type": "image", "source": source}]}),
        ]
    return shapes


@pytest.mark.parametrize(("path", "field", "body"), media(LINK))
def test_a_link_is_refused_by_the_name_of_its_field(path: str, field: str, body: dict[str, Any]) -> None:
    assert attempt(path, NEEDED | body) == field
    escaped = json.dumps(NEEDED | body).replace("url", "u\\u0072l").replace('"image"', '"im\\u0061ge"')
    with pytest.raises(ApiError, match="data: URLs"):
        make_call(
            find_endpoint(b"POST", path.encode()),
            Route(RouteEntry("demo", "demo", None, "chat", "test", "inner", PATHS, [], []), ()),
            read_fields(escaped.encode()),
        )


@pytest.mark.parametrize("spaces", [16, 600])
@pytest.mark.parametrize(("path", "field", "body"), media(LINK))
def test_a_link_is_found_in_few_long_texts_and_in_many_short_ones(
    path: str, field: str, body: dict[str, Any], spaces: int
) -> None:
    spread = json.dumps(NEEDED | body, separators=("," + " " * spaces, ":" + " " * spaces))
    with pytest.raises(ApiError) as refused:
        read_media(read_fields(spread.encode()), find_endpoint(b"POST", path.encode()).media)
    assert (refused.value.param, refused.value.code) == (field, "url_not_allowed")


@pytest.mark.parametrize("value", [["", "x" * 300], {"": "x" * 300}, [{"": "x" * 300}]])
def test_a_text_that_begins_with_nothing_holds_no_link(value: Any) -> None:
    text = json.dumps({"": value, "input": value}, separators=(",", ":")).encode()
    assert read_media(read_fields(text)) is None
    assert read_media(read_fields(text), (), text) is None


@pytest.mark.parametrize(("path", "field", "body"), media(DATA))
def test_the_same_shape_with_data_passes(path: str, field: str, body: dict[str, Any]) -> None:
    assert attempt(path, NEEDED | body) is None


def test_the_table_covers_every_path_that_calls_an_engine() -> None:
    served = {
        endpoint.path
        for endpoint in vars(endpoints)["_ENDPOINTS"]
        if endpoint.work is endpoints.Work.CALL and endpoint.json
    }
    assert served == set(PATHS) == {path for path, _, _ in media(LINK)}


@pytest.mark.parametrize(
    "link", ["HTTP://a/x.png", " http://a/x.png", "//a/x.png", "file:///etc/passwd", "/x", "ftp://a"]
)
def test_what_is_no_data_is_refused_however_it_is_spelt(link: str) -> None:
    assert attempt(CHAT, user({"type": "image_url", "image_url": {"url": link}})) == "messages"


@pytest.mark.parametrize("served", [[CHAT], PATHS])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        (RESPONSES, said({"type": "input_image", "image_url": LINK})),
        (MESSAGES, user({"type": "image", "source": {"type": "url", "url": LINK}}) | {"max_tokens": 5}),
    ],
)
def test_translated_requests_are_looked_through_too(path: str, body: dict[str, Any], served: list[str]) -> None:
    assert attempt(path, body, served=served) in ("input", "messages")


def call(arguments: Any) -> dict[str, Any]:
    return {"id": "c", "type": "function", "function": {"name": "show", "arguments": arguments}}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, {"messages": [{"role": "user", "content": f'Read {LINK}, "image_url": "{LINK}"'}]}),
        (CHAT, {"metadata": {"image_url": LINK, "type": "url", "url": LINK}}),
        (CHAT, {"messages": [{"role": "assistant", "tool_calls": [call(json.dumps({"image_url": LINK}))]}]}),
        (CHAT, {"messages": [{"role": "assistant", "tool_calls": [call({"image_url": LINK})]}]}),
        (CHAT, {"tools": [{"type": "function", "function": {"parameters": {"default": {"image_url": LINK}}}}]}),
        (CHAT, {"response_format": {"type": "json_schema", "json_schema": {"examples": [{"image_url": LINK}]}}}),
        (CHAT, {"documents": [{"title": "t", "text": "x", "url": LINK}]}),
        (CHAT, {"modalities": ["text", "audio"], "audio": {"voice": "a", "format": "wav"}}),
        (CHAT, user({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}})),
        (RESPONSES, {"input": [{"type": "web_search_call", "id": "w", "action": {"type": "open_page", "url": LINK}}]}),
        (RESPONSES, said({"type": "input_text", "text": "x", "annotations": [{"type": "url_citation", "url": LINK}]})),
        (RESPONSES, said({"type": "input_file", "file_data": DATA})),
        (MESSAGES, user({"type": "tool_use", "id": "t", "name": "show", "input": {"image_url": LINK, "type": "url"}})),
        (MESSAGES, {"tools": [{"name": "f", "input_schema": {"properties": {"image_url": {"default": LINK}}}}]}),
    ],
)  # fmt: skip
def test_a_link_that_no_engine_would_fetch_passes(path: str, body: dict[str, Any]) -> None:
    assert attempt(path, NEEDED | body) is None
