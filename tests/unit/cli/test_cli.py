"""How commands read what people write, and how they end."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import typer
from rich.console import Console
from typer.core import TyperGroup
from typer.testing import CliRunner

from aicp.cli import app as cli
from aicp.cli.declarations import read_documents
from aicp.cli.imports import parse_source
from aicp.cli.output import EXIT_DENIED, EXIT_NOT_FOUND, EXIT_UNAVAILABLE, exit_code
from aicp.cli.progress import job_words
from aicp.cli.publish import parse_flags
from aicp.cli.services import changed_spec
from aicp.client.rest import Client
from aicp.client.transport import error_of
from aicp.core.accelerator import Accelerator, AcceleratorHealth, HealthCode, HealthFinding
from aicp.core.errors import InvalidError, NotFoundError, UnauthorizedError, UnavailableError
from aicp.core.event import Event, EventQuery
from aicp.core.job import Job, JobProgress, JobState
from aicp.core.model import HuggingFaceSource, ModelScopeSource, S3Source, UrlSource, Visibility
from aicp.core.node import Node, NodeState, NodeStatus
from aicp.core.service import Compute, Mode, ServiceCreate, ServiceSpec
from aicp.core.slice import SlicePolicy, SliceSpec, Slicing
from aicp.planner.samples import publish_command


def test_sources() -> None:
    assert parse_source("hf://Qwen/Qwen3-0.6B@main") == HuggingFaceSource(repo="Qwen/Qwen3-0.6B", revision="main")
    assert parse_source("ms://Qwen/Qwen3-0.6B") == ModelScopeSource(repo="Qwen/Qwen3-0.6B")
    assert parse_source("s3://bucket/a/b") == S3Source(bucket="bucket", prefix="a/b")
    assert parse_source("https://host/x.tar.gz") == UrlSource(url="https://host/x.tar.gz")
    assert parse_source("/models/x") == Path("/models/x")
    with pytest.raises(InvalidError, match="ftp:// is no known source"):
        parse_source("ftp://host/x")


def test_flags_are_json_where_they_can_be() -> None:
    assert parse_flags(["a=1", "b=true", "c=text", "d=0.5", "e=x=y"]) == {
        "a": 1,
        "b": True,
        "c": "text",
        "d": 0.5,
        "e": "x=y",
    }
    with pytest.raises(InvalidError, match="NAME=VALUE"):
        parse_flags(["a"])


def test_documents_come_in_the_order_they_need_each_other(tmp_path: Path) -> None:
    file = tmp_path / "all.yaml"
    file.write_text("kind: key\nname: k\n---\nkind: service\nname: s\n---\nkind: model\nname: m\n")
    assert [document["kind"] for document in read_documents(file)] == ["model", "service", "key"]


@pytest.mark.parametrize("text", ["kind: pod\nname: x\n", "- a\n", "name: x\n", "kind: model\n", "a: [\n"])
def test_what_is_no_document_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(InvalidError):
        read_documents(file)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotFoundError("x"), EXIT_NOT_FOUND),
        (UnauthorizedError("x"), EXIT_DENIED),
        (UnavailableError("x"), EXIT_UNAVAILABLE),
        (InvalidError("x"), 1),
    ],
)
def test_exit_codes(error: Any, code: int) -> None:
    assert exit_code(error) == code


def test_an_answer_becomes_the_error_it_stands_for() -> None:
    body = {"error": {"code": "no_fit", "message": "too big", "hint": "try int8", "details": {"needed": 1}}}
    error = error_of(422, json.dumps(body).encode())
    assert isinstance(error, InvalidError)
    assert (error.code, error.message, error.hint, error.details) == ("no_fit", "too big", "try int8", {"needed": 1})
    assert error_of(502, b"<html>").status == 502


def test_progress_in_words() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    job = Job(id="j", kind="model_import", title="t", state=JobState.RUNNING, created_at=at)
    assert job_words(job) == ("running", None)
    progress = JobProgress(phase="copying", done=512 * 1024**2, total=1024**3, rate=100 * 1024**2)
    words, fraction = job_words(job.model_copy(update={"progress": progress}))
    assert words == "copying (512 MiB of 1 GiB, 100 MiB/s)"
    assert fraction == 0.5
    progress = JobProgress(phase="installing on n", done=0.25, total=1, unit="share", message="12 of 48 packages")
    assert job_words(job.model_copy(update={"progress": progress})) == ("12 of 48 packages (25%)", 0.25)


def test_every_command_explains_itself() -> None:
    runner = CliRunner()
    names = ("model", "upload", "service", "key", "job", "batch", "file", "node", "pool", "engine", "project", "user")
    groups = [[], *([name] for name in names)]
    for words in groups:
        result = runner.invoke(cli.app, [*words, "--help"])
        assert result.exit_code == 0, words
        assert "Usage" in result.output


def test_every_command_on_an_object_speaks_json() -> None:
    root = typer.main.get_command(cli.app)
    assert isinstance(root, TyperGroup)
    groups = {name: group for name, group in root.commands.items() if isinstance(group, TyperGroup)}
    commands = {f"{name} {word}": command for name, group in groups.items() for word, command in group.commands.items()}
    # `clean` removes a local file, a password is typed by a person, bytes and manifests come as they are.
    silent = {"quickstart clean", "user password", "file content", "batch results", "kubernetes render"}
    without = {name for name, command in commands.items() if not any("--json" in one.opts for one in command.params)}
    assert without <= silent


def test_a_change_keeps_the_rest_of_a_spec() -> None:
    spec = ServiceSpec(model="m", users=4, compute=Compute(cpu_cores=2), engine_flags={"a": 1})
    nothing = {"model": None, "users": None, "engine_flags": None, "compute": {"cpu_cores": None}}
    changed = changed_spec(spec, {**nothing, "model": "m:v2", "engine_flags": {"b": 2}}, ["cpu", "users"])
    assert changed == ServiceSpec(model="m:v2", engine_flags={"a": 1, "b": 2})
    assert changed_spec(spec, nothing) is None
    assert changed_spec(spec, {**nothing, "model": "m"}) == spec
    assert changed_spec(spec, nothing, unset=["a"]) == spec.model_copy(update={"engine_flags": {}})
    with pytest.raises(InvalidError, match="'b' is not set"):
        changed_spec(spec, nothing, unset=["b"])
    with pytest.raises(InvalidError, match="'speed'"):
        changed_spec(spec, nothing, ["speed"])


def test_without_a_platform_the_command_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["aicp", "--data-dir", str(tmp_path), "model", "list"])
    monkeypatch.setattr("aicp.cli.connection.LOGIN_FILE", tmp_path / "login.json")
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == EXIT_DENIED
    assert "aicp up" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["nonsense"], ["model", "import"], ["publish", "m", "--mode", "fast"]])
def test_wrong_usage_is_told_without_a_traceback(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["aicp", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """What a command sends as (METHOD path, body); every object it reads is `demo`."""
    seen: list[tuple[str, Any]] = []
    at = "2026-01-01T00:00:00Z"
    demo = {
        **{"id": "x", "name": "demo", "project": "default", "prefix": "sk-x", "created_at": at, "updated_at": at},
        **{"organization": "default", "type": "chat", "spec": {"model": "demo"}, "model_version": "demo:v1"},
        **{"state": "ready", "generation": 1, "observed_generation": 1},
    }

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method != "GET":
            seen.append((f"{request.method} {request.url.path}", json.loads(request.content)))
        if request.url.path.endswith("/plan"):
            return httpx.Response(409, json={})
        return httpx.Response(200, json=demo)

    def connect(_: typer.Context) -> Client:
        client = Client("http://platform")
        client.transport._http = httpx.Client(base_url="http://platform", transport=httpx.MockTransport(answer))
        return client

    for module in ("publish", "services", "keys", "identity", "prices"):
        monkeypatch.setattr(f"aicp.cli.{module}.connect", connect)
    return seen


def run(*words: str) -> None:
    CliRunner().invoke(cli.app, [*words])


def test_the_command_that_the_console_shows_publishes_the_same(sent: list[tuple[str, Any]]) -> None:
    compute = Compute(
        accelerators=2,
        slice=SliceSpec(compute_percent=30, memory_bytes=2**30, policy=SlicePolicy.WEIGHT),
        vendor="nvidia",
        cpu_cores=1.5,
        memory_bytes=2**30,
        node_labels={"zone": "a", "disk": "ssd"},
        tolerations=["gpu", "owner=lab"],
    )
    spec = ServiceSpec(
        model="demo:v1",
        mode=Mode.CUSTOM,
        engine="vllm",
        engine_version="1",
        engine_flags={"a": True, "b": "text"},
        pool="fast",
        compute=compute,
        replicas=2,
        context_length=64,
        users=3,
        drain_seconds=5,
        visibility=Visibility.PROJECT,
        priority=-3,
        preemptible=True,
    )
    run(*shlex.split(publish_command("public", ServiceCreate(project="shop", spec=spec)))[1:], "--dry-run")
    body = ServiceCreate.model_validate(sent[0][1])
    assert (body.name, body.project, body.spec) == ("public", "shop", spec)


def test_what_publish_is_not_told_is_left_to_the_platform(sent: list[tuple[str, Any]]) -> None:
    run("publish", "demo", "--dry-run")
    assert not {"drain_seconds", "visibility"} & sent[0][1]["spec"].keys()
    assert "description" not in sent[0][1]


def test_a_service_is_described_without_a_new_revision(sent: list[tuple[str, Any]]) -> None:
    run("service", "update", "demo", "--description", "words")
    run(
        "service", "update", "demo", "--description", "", "--drain-seconds", "0", "--visibility", "project", "--no-wait"
    )
    assert sent[0] == ("PATCH /api/v1/services/demo", {"description": "words"})
    changed = sent[1][1]
    assert changed["description"] == ""
    assert (changed["spec"]["drain_seconds"], changed["spec"]["visibility"]) == (0, "project")


def test_the_expiry_of_a_key_is_cleared(sent: list[tuple[str, Any]]) -> None:
    run("key", "update", "x", "--no-expiry")
    run("key", "update", "x", "--no-expiry", "--expires", "2030-01-01")
    assert sent == [("PATCH /api/v1/keys/x", {"expires_at": None})]


def test_money_is_sent_exactly(sent: list[tuple[str, Any]]) -> None:
    run("price", "set", "demo", "--input", "0.1", "--output", "2.50", "--cached-input", "0.000001")
    for wrong in ("cheap", "-1", "0.0000001", "NaN"):
        run("price", "set", "demo", "--input", "1", "--output", wrong)
    run("project", "create", "shop", "--limit", "budget_per_day=12.50", "--limit", "rpm=5")
    run("project", "create", "shop", "--limit", "rpm=1.5")
    run("project", "create", "shop", "--limit", "budget_per_day=NaN")
    price = {"input": 0.1, "output": 2.5, "cached_input": 0.000001}
    assert sent[0] == ("PUT /api/v1/prices/demo", price)
    (body,) = [body for _, body in sent[1:]]
    assert {name: value for name, value in body["limits"].items() if value} == {"budget_per_day": 12.5, "rpm": 5}


def test_tags_of_a_key_are_set_and_taken_away(sent: list[tuple[str, Any]]) -> None:
    run("key", "update", "x", "--tag", "team=shop", "--tag", "north")
    run("key", "update", "x", "--no-tags")
    run("key", "update", "x", "--no-tags", "--tag", "a")
    assert [body for _, body in sent] == [{"tags": ["team=shop", "north"]}, {"tags": None}]


def test_a_project_is_described(sent: list[tuple[str, Any]]) -> None:
    run("project", "update", "demo", "--description", "words")
    assert sent == [("PATCH /api/v1/projects/demo", {"description": "words"})]


def test_the_audit_is_asked_for_with_every_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    class Records:
        def audit(self, which: EventQuery, **page: int) -> list[Event]:
            asked.update(asdict(which), **page)
            return []

    monkeypatch.setattr("aicp.cli.records.connect", lambda _: SimpleNamespace(records=Records()))
    options = ["--actor", "ann", "--kind", "key", "--name", "key_1", "--project", "p", "--since", "2026-01-05"]
    answer = CliRunner().invoke(cli.app, ["audit", *options, "--severity", "warning", "--limit", "700"])
    assert answer.exit_code == 0, answer.output
    assert "No audit entries match." in answer.output
    assert (asked["actor"], asked["kind"], asked["name"], asked["project"]) == ("ann", "key", "key_1", "p")
    assert (asked["severity"], asked["limit"], asked["since"].tzinfo is not None) == ("warning", 700, True)


def test_a_node_shows_what_ails_its_devices_and_how_they_can_be_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    finding = HealthFinding(
        code=HealthCode.LINK, severity=AcceleratorHealth.FAILED, cause="an error of its NVLink", action="Check cables."
    )
    well = Accelerator(
        vendor="nvidia",
        index=0,
        device_id="GPU-well",
        product="H200",
        memory_bytes=2**37,
        slicing=[Slicing(mechanism="mps"), Slicing(mechanism="mig")],
    )
    update = {"device_id": "GPU-ill", "findings": [finding], "slicing": [], "slicing_reason": "mps: no daemon"}
    status = NodeStatus(
        node_id="n",
        hostname="h",
        os="Linux",
        architecture="x86_64",
        cpu_cores=1,
        memory_bytes=1,
        memory_used_bytes=0,
        disk_free_bytes=1,
        agent_version="1",
        accelerators=[well, well.model_copy(update=update)],
    )
    at = datetime(2026, 1, 1, tzinfo=UTC)
    node = Node(id="n", name="h", pool="default", state=NodeState.READY, address="unix", created_at=at, status=status)
    nodes = SimpleNamespace(get=lambda name: node, replicas=lambda name: [])
    monkeypatch.setattr("aicp.cli.nodes.connect", lambda context: SimpleNamespace(nodes=nodes))
    monkeypatch.setattr("aicp.cli.output.out", Console(width=300))
    said = CliRunner().invoke(cli.app, ["node", "show", "h"]).output
    lines = [line.split() for line in said.splitlines()]
    assert any({"GPU-well", "mps,", "mig"} <= set(line) for line in lines)
    assert any({"GPU-ill", "mps:", "daemon"} <= set(line) for line in lines)
    assert any({"GPU-ill", "failed", "link", "NVLink", "cables."} <= set(line) for line in lines)
