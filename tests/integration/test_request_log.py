"""The request log on a real platform: from a client's words over the gateway's disk to who may read them."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from tests.support.platform import Platform, eventually

from aicp.core.event import EventQuery
from aicp.core.request_log import Bodies, RequestBodies, RequestLogRuleSet, RequestQuery
from aicp.core.service import Mode, ServiceCreate, ServiceSpec

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    platform = Platform(tmp_path_factory.mktemp("log") / "data").start()
    try:
        platform.import_demo("demo")
        spec = ServiceSpec(model="demo", engine="echo", mode=Mode.CUSTOM)
        platform.client.services.create(ServiceCreate(name="demo", spec=spec))
        eventually("the service is ready", lambda: platform.client.services.get("demo").state == "ready", seconds=60)
        yield platform
    finally:
        platform.stop()


@pytest.fixture(scope="module")
def key(platform: Platform) -> str:
    return json.loads(platform.cli("key", "create", "app", "--json").stdout)["secret"]


def bodies_of(platform: Platform, request_id: str) -> RequestBodies:
    def kept() -> bool:
        found = platform.client.requests.list(RequestQuery(request_id=request_id, with_body=True))
        return len(found) == 1

    eventually("the bodies are kept", kept)
    return platform.client.requests.bodies(request_id)


def test_a_request_is_found_read_and_forgotten(platform: Platform, key: str) -> None:
    client = platform.client
    before = platform.chat(key, "demo", "before anybody opted in")
    client.requests.set_rule("default", RequestLogRuleSet(bodies=Bodies.ALL))
    said = f"Write to ann@example.org with {key}"

    def logged() -> str:
        request_id = platform.chat(key, "demo", said).headers["x-request-id"]
        eventually("it is counted", lambda: client.requests.list(RequestQuery(request_id=request_id)))
        return request_id if client.requests.get(request_id).has_body else ""

    request_id = eventually("the gateway has the rule and ships", logged)
    facts = client.requests.get(request_id)
    assert (facts.service, facts.status, facts.outcome, facts.project) == ("demo", 200, "ok", "default")
    assert facts.replica_id
    bodies = bodies_of(platform, request_id)
    assert bodies.request.text is not None
    shown = json.loads(bodies.request.text)["messages"][0]["content"]
    assert shown == "Write to [redacted:email] with [redacted:secret]"
    assert bodies.answer.text is not None
    assert key not in bodies.answer.text
    assert "[redacted:email]" in bodies.answer.text or "ann@example.org" not in bodies.answer.text
    entry = client.records.audit(EventQuery(action="request.read_body"))[0]
    assert (entry.object_name, entry.project) == (request_id, "default")
    assert not client.requests.get(before.headers["x-request-id"]).has_body
    assert request_id in platform.cli("request", "list", "--with-body", "--json").stdout
    assert "[redacted:secret]" in platform.cli("request", "show", request_id, "--body").stdout
    client.requests.delete_rule("default")
    assert not client.requests.get(request_id).has_body


def test_what_was_on_the_gateways_disk_survives_it_and_comes_once(platform: Platform, key: str) -> None:
    """Control is gone while requests end; then the gateway is killed, too."""
    client = platform.client
    answer = platform.cli("request-log", "set", "default", "--bodies", "errors", "--json")
    assert json.loads(answer.stdout)["bodies"] == "errors"
    directory = platform.data_dir / "gateway"

    def written() -> str:
        refused = platform.chat(key, "nobody", "hello")
        assert refused.status_code == 404
        request_id = refused.headers["x-request-id"]
        lines = "".join(path.read_text() for path in directory.glob("requests-*.log"))
        return request_id if lines else ""

    eventually("the gateway has the rule", written)
    sent = [platform.chat(key, "nobody", f"hello {number}").headers["x-request-id"] for number in range(5)]
    platform.wait_restarted("gateway", platform.kill("gateway"))
    eventually("all are counted", lambda: all(client.requests.list(RequestQuery(request_id=one)) for one in sent))
    left = {item.request_id for item in client.requests.list(RequestQuery(with_body=True), limit=500)}
    assert left, "those that had been written are there"
    assert platform.chat(key, "demo", "hello").status_code == 200
    platform.cli("request-log", "off", "default")
    assert client.requests.rule("default").bodies is Bodies.OFF
