"""How commands read what people write, and how they end."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperGroup
from typer.testing import CliRunner

from aicp.cli import app as cli
from aicp.cli.declarations import read_documents
from aicp.cli.imports import parse_source
from aicp.cli.output import EXIT_DENIED, EXIT_NOT_FOUND, EXIT_UNAVAILABLE, exit_code
from aicp.cli.progress import job_words
from aicp.cli.services import changed_spec, parse_flags
from aicp.client.transport import error_of
from aicp.core.errors import InvalidError, NotFoundError, UnauthorizedError, UnavailableError
from aicp.core.job import Job, JobProgress, JobState
from aicp.core.model import HuggingFaceSource, ModelScopeSource, S3Source, UrlSource
from aicp.core.service import Compute, ServiceSpec


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
    groups = [
        [],
        *([name] for name in ("model", "upload", "service", "key", "job", "node", "pool", "engine", "project", "user")),
    ]
    for words in groups:
        result = runner.invoke(cli.app, [*words, "--help"])
        assert result.exit_code == 0, words
        assert "Usage" in result.output


def test_every_command_on_an_object_speaks_json() -> None:
    root = typer.main.get_command(cli.app)
    assert isinstance(root, TyperGroup)
    groups = {name: group for name, group in root.commands.items() if isinstance(group, TyperGroup)}
    commands = {f"{name} {word}": command for name, group in groups.items() for word, command in group.commands.items()}
    # `clean` removes a local file, a password is typed by a person.
    silent = {"quickstart clean", "user password"}
    without = {name for name, command in commands.items() if not any("--json" in one.opts for one in command.params)}
    assert without <= silent


def test_a_change_keeps_the_rest_of_a_spec() -> None:
    spec = ServiceSpec(model="m", users=4, compute=Compute(cpu_cores=2), engine_flags={"a": 1})
    nothing = {"model": None, "users": None, "engine_flags": None, "compute": {"cpu_cores": None}}
    changed = changed_spec(spec, {**nothing, "model": "m:v2", "engine_flags": {"b": 2}}, ["cpu", "users"])
    assert changed == ServiceSpec(model="m:v2", engine_flags={"a": 1, "b": 2})
    with pytest.raises(InvalidError, match="Nothing to change"):
        changed_spec(spec, nothing, [])
    assert changed_spec(spec, {**nothing, "model": "m"}, []) == spec
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
