"""Bad input through the real gateway and REST: a clear 4xx in the right form, never a traceback, never a 5xx."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.archives import tar_of, zip_of
from tests.support.hub_server import HubServer, hub_server
from tests.support.model_files import make_model_dir
from tests.support.platform import Platform, eventually
from tests.support.walk import Walk

from aicp.core.errors import AicpError, InvalidError
from aicp.core.model import DirectorySource, ImportRequest, UrlSource

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]
MESSAGES = [{"role": "user", "content": "hi"}]
LARGE = 60_000_000
DEEP = 100_000
JSON = {"Content-Type": "application/json"}


class Gateway:
    """The gateway of the walk as a careless application calls it."""

    def __init__(self, walk: Walk) -> None:
        self.model: str = walk.facts["model"]
        headers = {"Authorization": f"Bearer {walk.facts['api_key']}"}
        self.http = httpx.Client(base_url=walk.platform.gateway_url, headers=headers, trust_env=False, timeout=120)

    def chat(self, **fields: Any) -> httpx.Response:
        return self.http.post("/v1/chat/completions", json={"model": self.model, "messages": MESSAGES, **fields})

    def raw(self, content: bytes, **headers: str) -> httpx.Response:
        return self.http.post("/v1/chat/completions", content=content, headers={**JSON, **headers})


@pytest.fixture
def gateway(walk: Walk) -> Iterator[Gateway]:
    gateway = Gateway(walk)
    yield gateway
    assert gateway.chat(max_tokens=1).status_code == 200, "the gateway or its engine did not survive"
    gateway.http.close()


def refused(answer: httpx.Response, status: int, code: str | None = None) -> dict[str, Any]:
    """The error in OpenAI's form; fails for any other answer."""
    assert answer.status_code == status, answer.text[:500]
    assert answer.headers["content-type"].startswith("application/json")
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert len(error["message"]) > 10
    assert "Traceback" not in answer.text
    if code is not None:
        assert error["code"] == code
    return error


@pytest.mark.engine
def test_unknown_model_and_wrong_key(gateway: Gateway) -> None:
    assert refused(gateway.chat(model="nope"), 404, "model_not_found")["param"] == "model"
    messages = set()
    for key in ("none", "sk-x", "sk-aaaaaaaaaaaaaaaa-" + "b" * 32 + "-000000", "Bearer", "sk-" + "x" * 5000):
        answer = gateway.http.get("/v1/models", headers={"Authorization": f"Bearer {key}"})
        messages.add(refused(answer, 401, "invalid_api_key")["message"])
    assert len(messages) == 1, "the answer tells why a key is wrong"


@pytest.mark.engine
@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'{"model": NaN}', b'{"model": "\xff\xfe"}', b"\x00" * 100, b'{"a":1}{"b":2}'],
    ids=["empty", "cut", "list", "null", "nan", "not utf-8", "zeros", "two"],
)
def test_malformed_json(gateway: Gateway, content: bytes) -> None:
    refused(gateway.raw(content), 400)


@pytest.mark.engine
def test_a_body_of_60_megabytes(gateway: Gateway) -> None:
    text = b"a" * LARGE
    body = b'{"model":"%b","messages":[{"role":"user","content":"%b"}]}' % (gateway.model.encode(), text)
    refused(gateway.raw(body), 413, "body_too_large")


@pytest.mark.engine
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")], ids=["lists", "objects"])
def test_json_100000_deep(gateway: Gateway, opening: bytes, closing: bytes) -> None:
    inner = opening * DEEP + b"1" + closing * DEEP
    for name in (b"messages", b"x"):
        body = b'{"model":"%b","messages":[],"%b":%b}' % (gateway.model.encode(), name, inner)
        refused(gateway.raw(body), 400)
    refused(gateway.raw(inner), 400)


@pytest.mark.engine
@pytest.mark.parametrize(
    "name",
    [
        "chat_template",
        "priority",
        "request_id",
        "kv_transfer_params",
        "cache_salt",
        "vllm_xargs",
        "mm_processor_kwargs",
    ],
)
def test_fields_that_steer_the_engine(gateway: Gateway, name: str) -> None:
    assert refused(gateway.chat(**{name: "x"}), 400)["param"] == name


WRONG: list[dict[str, Any]] = [
    {"messages": "hi"},
    {"messages": [1]},
    {"messages": [{"role": "user", "content": {"a": 1}}]},
    {"messages": []},
    {"messages": None},
    {"model": 3},
    {"model": None},
    {"max_tokens": "many"},
    {"max_tokens": -3},
    {"temperature": "hot"},
    {"temperature": -1},
    {"top_p": 5},
    {"stream": "yes"},
    {"stream_options": 3},
    {"n": 0},
    {"n": "two"},
    {"n": 10**6},
    {"tools": 3},
    {"tools": [{"type": "function"}]},
    {"tool_choice": 5},
    {"stop": 5},
    {"logit_bias": "x"},
    {"response_format": {"type": "nope"}},
    {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "wat"}}}},
    {"top_logprobs": 10**6, "logprobs": True},
    {"seed": 10**30},
]


@pytest.mark.engine
@pytest.mark.parametrize("fields", WRONG, ids=[json.dumps(fields)[:60] for fields in WRONG])
def test_wrong_types_and_values(gateway: Gateway, fields: dict[str, Any]) -> None:
    answer = gateway.chat(**{"max_tokens": 2, **fields})
    refused(answer, answer.status_code if 400 <= answer.status_code < 500 else 400)


@pytest.mark.engine
@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "multipart/form-data; boundary=x"])
def test_wrong_content_type(gateway: Gateway, kind: str) -> None:
    body = json.dumps({"model": gateway.model, "messages": MESSAGES}).encode()
    refused(gateway.raw(body, **{"Content-Type": kind}), 415)


@pytest.mark.engine
@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_beyond_the_context(gateway: Gateway, stream: bool) -> None:
    long = [{"role": "user", "content": "word " * 9000}]
    context = gateway.http.get(f"/v1/models/{gateway.model}").json()["max_model_len"]
    error = refused(gateway.chat(messages=long, stream=stream), 400, "context_length_exceeded")
    assert str(context) in error["message"]


@pytest.mark.engine
def test_paths_and_methods_that_are_not_there(gateway: Gateway) -> None:
    refused(gateway.http.post("/v1/nope", json={}), 404)
    refused(gateway.http.get("/v1/chat/completions"), 405)
    refused(gateway.http.get("/v1/models/nope"), 404)
    refused(gateway.http.get("/v1/../internal/v1/routes"), 404)


@pytest.mark.engine
def test_a_revoked_key_is_refused_within_a_second(walk: Walk) -> None:
    client = walk.platform.client
    created = client.keys.create("short-lived")
    url, headers = f"{walk.platform.gateway_url}/v1/models", {"Authorization": f"Bearer {created.secret}"}

    def status() -> int:
        return httpx.get(url, headers=headers, trust_env=False).status_code

    eventually("the key works", lambda: status() == 200, seconds=5)
    client.keys.revoke(created.key.id)
    revoked = time.monotonic()
    eventually("the key is refused", lambda: status() == 401, seconds=5, every=0.01)
    assert time.monotonic() - revoked < 1


class Rest:
    """The REST interface as a careless script calls it."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        token = (platform.data_dir / "run" / "admin.token").read_text().strip()
        self.http = httpx.Client(
            base_url=platform.url, headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=60
        )

    def import_fails(self, source: ImportRequest) -> AicpError:
        """The error of an import, whether it is refused at once or its job fails; no version may be left."""
        client = self.platform.client
        with pytest.raises(AicpError) as caught:
            client.jobs.wait(client.models.import_version("bad", source).id)
        assert all(model.latest is None for model in client.models.list() if model.name == "bad")
        assert "Traceback" not in caught.value.message
        return caught.value


@pytest.fixture(scope="module")
def rest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rest]:
    """A platform without services that may import from loopback."""
    data = tmp_path_factory.mktemp("rest") / "data"
    platform = Platform(data, AICP_IMPORT_ALLOWED_NETWORKS="127.0.0.0/8").start()
    yield Rest(platform)
    try:
        assert "Traceback" not in (data / "logs" / "control.log").read_text()
    finally:
        platform.stop()


def explained(answer: httpx.Response, *statuses: int) -> dict[str, Any]:
    """The error in the REST form; fails for any other answer."""
    assert answer.status_code in statuses, answer.text[:500]
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "hint", "details", "request_id"}
    assert error["message"]
    assert error["request_id"]
    return error


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"name": "\xff"}',
        b"[" * DEEP,
        b'{"a":' * DEEP + b"1" + b"}" * DEEP,
        b"[" * DEEP + b"]" * DEEP,
    ],
    ids=["empty", "cut", "list", "not utf-8", "deep and cut", "deep objects", "deep lists"],
)
def test_rest_malformed_json(rest: Rest, content: bytes) -> None:
    explained(rest.http.post("/api/v1/models", content=content, headers=JSON), 400, 422)


def test_rest_a_body_of_60_megabytes(rest: Rest) -> None:
    answer = rest.http.post("/api/v1/models", content=b'{"name":"' + b"a" * LARGE + b'"}', headers=JSON)
    explained(answer, 413)


@pytest.mark.parametrize(
    "body",
    [
        {"name": 3},
        {"name": "../etc"},
        {"name": "a" * 500},
        {"name": "good", "typ": "chat"},
        {"name": "good", "type": "poetry"},
        {"name": "good", "project": "nope"},
    ],
    ids=str,
)
def test_rest_wrong_fields(rest: Rest, body: dict[str, Any]) -> None:
    explained(rest.http.post("/api/v1/models", json=body), 404, 422)


def test_rest_wrong_content_type_and_wrong_credential(rest: Rest) -> None:
    wrong = {"Content-Type": "text/plain"}
    explained(rest.http.post("/api/v1/models", content=b'{"name": "x"}', headers=wrong), 415, 422)
    explained(rest.http.get("/api/v1/models", headers={"Authorization": "Bearer nope"}), 401)
    explained(rest.http.get("/api/v1/nope"), 404)
    explained(rest.http.get("/api/v1/models?limit=100000000000000000000"), 422)
    explained(rest.http.get("/api/v1/models", headers={"Host": "evil.example"}), 421)


def test_rest_unknown_model_is_not_published(rest: Rest) -> None:
    explained(rest.http.post("/api/v1/services", json={"spec": {"model": "nope"}}), 404)
    explained(rest.http.post("/api/v1/services", json={"spec": {"model": "a:b:c"}}), 404, 422)


def test_a_model_that_does_not_fit_is_refused_with_numbers(rest: Rest) -> None:
    rest.platform.import_demo("fitting")
    for wish in ({"users": 100_000}, {"compute": {"memory_bytes": 1_000_000}}, {"replicas": 900}):
        error = explained(rest.http.post("/api/v1/services", json={"spec": {"model": "fitting", **wish}}), 422)
        assert error["code"] == "does_not_fit"
        assert "iB" in error["message"]
        assert error["hint"].startswith("Try: ")
    assert rest.platform.client.services.list() == []


@pytest.mark.parametrize("damage", ["cut", "header", "lies", "pickle"])
def test_broken_weights_do_not_enter(rest: Rest, tmp_path: Path, damage: str) -> None:
    folder = make_model_dir(tmp_path / "m")
    weights = folder / "model.safetensors"
    data = weights.read_bytes()
    broken = {
        "cut": data[:-100],
        "header": b"\xff" * 8 + data[8:],
        "lies": data.replace(b"BF16", b"F64 "[:4]),
        "pickle": data,
    }
    weights.write_bytes(broken[damage])
    if damage == "pickle":
        (folder / "pytorch_model.bin").write_bytes(b"\x80\x02cposix\nsystem\n")
    error = rest.import_fails(ImportRequest(source=DirectorySource(path=str(folder))))
    assert isinstance(error, InvalidError)
    assert ("pytorch_model.bin" if damage == "pickle" else "model.safetensors") in error.message


@pytest.fixture
def server() -> Iterator[HubServer]:
    with hub_server() as server:
        yield server


@pytest.mark.parametrize("name", ["../../../../etc/cron.d/x", "/etc/cron.d/x", "a/../../x", "..\\..\\x"])
@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
def test_archives_do_not_leave_their_folder(rest: Rest, server: HubServer, name: str, kind: str) -> None:
    files = {name: b"* * * * * root true\n"}
    server.files[f"m.{kind}"] = tar_of(files) if kind == "tar.gz" else zip_of(files)
    error = rest.import_fails(ImportRequest(source=UrlSource(url=f"{server.url}/files/m.{kind}")))
    assert 400 <= error.status < 500
    assert not Path("/etc/cron.d/x").exists()


def test_links_in_archives_are_refused(rest: Rest, server: HubServer) -> None:
    server.files["m.tar.gz"] = tar_of({"config.json": b"{}"}, links={"model.safetensors": "/etc/passwd"})
    error = rest.import_fails(ImportRequest(source=UrlSource(url=f"{server.url}/files/m.tar.gz")))
    assert 400 <= error.status < 500


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", "", "a\\..\\x", "x" * 5000])
def test_uploads_do_not_leave_their_folder(rest: Rest, path: str) -> None:
    explained(rest.http.post("/api/v1/uploads", json={"files": [{"path": path, "size_bytes": 1}]}), 422)


@pytest.mark.parametrize("path", ["/etc", "/proc/self", "/nonexistent", "relative/path", "/dev/zero", ""])
def test_folders_that_hold_no_model(rest: Rest, path: str) -> None:
    error = rest.import_fails(ImportRequest(source=DirectorySource(path=path)))
    assert 400 <= error.status < 500


@pytest.mark.parametrize("host", ["169.254.169.254", "10.1.2.3", "[::ffff:10.0.0.1]", "0x0a000001"])
def test_addresses_off_the_list_are_not_fetched(rest: Rest, host: str) -> None:
    error = rest.import_fails(ImportRequest(source=UrlSource(url=f"http://{host}/m.tar.gz")))
    assert 400 <= error.status < 500
    assert "import_allowed_networks" in f"{error.message} {error.hint}"
