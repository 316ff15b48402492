"""What the console shows as code is the very publish or change: run, sent or applied, it gives the same spec."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import typer
from pydantic import BaseModel

from aicp.cli import app as cli
from aicp.cli import declarations, publish
from aicp.cli import services as commands
from aicp.client.rest import Client
from aicp.core.errors import InvalidError, NotFoundError
from aicp.core.model import ModelType, Visibility
from aicp.core.service import Compute, Mode, Service, ServiceCreate, ServiceSpec, ServiceState, ServiceUpdate
from aicp.planner.samples import change_texts, publish_texts

URL = "https://aicp.example:8600"
FULL = ServiceSpec(
    model="demo:v2",
    mode=Mode.CUSTOM,
    engine="vllm",
    engine_version="0.9",
    engine_flags={"a": False, "b": 0.5, "text": "x y", "number-like": "7", "quoted": '"', "nothing": ""},
    pool="gpu",
    compute=Compute(accelerators=2, vendor="nvidia", cpu_cores=1.5, memory_bytes=3 * 2**30 + 1),
    replicas=3,
    context_length=4096,
    users=12,
    drain_seconds=12.5,
    visibility=Visibility.PROJECT,
)
SPECS = [
    ServiceSpec(model="demo"),
    ServiceSpec(model="demo", compute=Compute(accelerators=0, cpu_cores=2)),
    ServiceSpec(model="demo:v1", mode=Mode.CUSTOM, engine="echo", engine_flags={"a": True, "list": ["x"]}, replicas=0),
    FULL,
]
DESCRIPTION = '-it\'s "$HOME"\nfor \u4e2d\u6587 \U0001f600: yes'


class Sent(Exception):
    """Ends a command when it has sent its request."""

    def __init__(self, *what: Any) -> None:
        self.what = what


def sending(*what: Any) -> None:
    raise Sent(*what)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Any], tuple[Any, ...]]:
    """Runs a command line against a platform that has `service`, or none; answers what it sent."""

    def execute(line: str, service: Service | None = None) -> tuple[Any, ...]:
        services = SimpleNamespace(create=sending, update=sending, get=lambda _: service)
        for module in (commands, publish):
            monkeypatch.setattr(module, "connect", lambda _: SimpleNamespace(services=services))
        program, *words = shlex.split(line)
        assert program == "aicp"
        with pytest.raises(Sent) as sent:
            typer.main.get_command(cli.app).main(words, standalone_mode=False)
        return sent.value.what

    return execute


def make_service(spec: ServiceSpec, description: str = "") -> Service:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return Service(
        id="svc_1",
        name="chat",
        project="lab",
        description=description,
        type=ModelType.CHAT,
        spec=spec,
        model_version="demo:v1",
        state=ServiceState.READY,
        generation=1,
        observed_generation=1,
        created_at=now,
        updated_at=now,
    )


def body_of(curl: str, method: str, path: str, kind: type[BaseModel]) -> Any:
    words = [word for word in shlex.split(curl) if word != "\n"]
    assert words[:4] == ["curl", "-X", method, f"{URL}{path}"]
    assert words[5] == "Authorization: Bearer $AICP_TOKEN"
    return kind.model_validate_json(words[words.index("-d") + 1])


def applied(text: str, path: Path, service: Service | None) -> tuple[Any, ...]:
    path.write_text(text, encoding="utf-8")

    def get(name: str) -> Service:
        if service is None:
            raise NotFoundError(f"There is no service {name!r}.")
        return service

    services = SimpleNamespace(get=get, create=sending, update=sending)
    document = declarations.read_documents(path)[0]
    with pytest.raises(Sent) as sent:
        declarations.apply_service(cast("Client", SimpleNamespace(services=services)), document, wait=False)
    return sent.value.what


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("create_key", [True, False])
def test_a_publish_as_command_request_and_document(run: Any, tmp_path: Path, spec: ServiceSpec, create_key: bool):
    body = ServiceCreate(name="chat", project="lab", description=DESCRIPTION, spec=spec, create_key=create_key)
    texts = publish_texts("chat", body, URL)
    assert run(texts["cli"]) == (body,)
    assert body_of(texts["curl"], "POST", "/api/v1/services", ServiceCreate) == body
    file = tmp_path / "publish.yaml"
    assert applied(texts["yaml"], file, None) == (body.model_copy(update={"create_key": False}),)
    keys = declarations.read_documents(file)[1:]
    assert keys == ([{"kind": "key", "name": "chat", "project": "lab", "models": ["chat"]}] if create_key else [])


def test_the_shortest_publish_says_nothing_that_is_the_default():
    spec = ServiceSpec.model_validate({"model": "demo", "compute": {}, "users": None})
    texts = publish_texts("demo", ServiceCreate(spec=spec), URL)
    assert texts["cli"] == "aicp publish demo"
    assert json.loads(shlex.split(texts["curl"])[-1]) == {"spec": {"model": "demo"}}


@pytest.mark.parametrize("before", SPECS)
@pytest.mark.parametrize("after", SPECS)
@pytest.mark.parametrize("description", [None, DESCRIPTION, ""])
def test_a_change_as_command_request_and_document(
    run: Any, tmp_path: Path, before: ServiceSpec, after: ServiceSpec, description: str | None
):
    service = make_service(before, "as it was")
    body = ServiceUpdate(spec=after, description=description)
    texts = change_texts(service, body, after, URL)
    name, changes = run(texts["cli"], service)
    assert name == "chat"
    assert (changes.spec or before) == after
    assert ("as it was" if changes.description is None else changes.description) == (
        "as it was" if description is None else description
    )
    assert body_of(texts["curl"], "PATCH", "/api/v1/services/chat", ServiceUpdate) == body
    if before != after or description is not None:
        name, changes = applied(texts["yaml"], tmp_path / "change.yaml", service)
        assert (changes.spec, changes.description) == (after, "as it was" if description is None else description)


def test_a_change_of_nothing_resolves_the_model_again(run: Any):
    service = make_service(SPECS[0])
    line = change_texts(service, ServiceUpdate(spec=SPECS[0]), SPECS[0], URL)["cli"]
    assert line == "aicp service update chat --model demo"
    assert run(line, service) == ("chat", ServiceUpdate(spec=SPECS[0]))


def test_a_change_that_says_nothing_is_refused(monkeypatch: pytest.MonkeyPatch):
    services = SimpleNamespace(get=lambda _: make_service(SPECS[0]))
    monkeypatch.setattr(commands, "connect", lambda _: SimpleNamespace(services=services))
    with pytest.raises(InvalidError, match="Nothing to change"):
        typer.main.get_command(cli.app).main(["service", "update", "chat"], standalone_mode=False)
