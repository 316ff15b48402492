"""What `aicp model import` makes of its words."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from typer.testing import CliRunner

from aicp.cli import app as cli
from aicp.cli import imports
from aicp.cli.imports import find_entry, read_secret
from aicp.client.rest import Client
from aicp.core.catalog import CatalogModel
from aicp.core.errors import InvalidError, NotFoundError
from aicp.core.value import Page

_FILE = files("aicp.control").joinpath("catalog.yaml").read_text(encoding="utf-8")
_MODELS = [CatalogModel.model_validate(entry) for entry in yaml.safe_load(_FILE)["models"]]
CATALOG = Page(items=_MODELS, total=len(_MODELS), offset=0, limit=500)
JOB = {"id": "job_1", "kind": "model_import", "title": "t", "state": "queued", "created_at": "2026-01-01T00:00:00Z"}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """(path, body) of every import that a command asks for."""
    asked: list[tuple[str, dict[str, Any]]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/v1/catalog":
            return httpx.Response(200, json=CATALOG.model_dump(mode="json"))
        asked.append((request.url.path, json.loads(request.content)))
        return httpx.Response(202, json=JOB)

    client = Client("http://platform")
    client.transport._http = httpx.Client(base_url="http://platform", transport=httpx.MockTransport(answer))
    monkeypatch.setattr(imports, "connect", lambda _: client)
    return asked


def run(*words: str, **env: str) -> Any:
    done = CliRunner().invoke(cli.app, ["model", "import", *words, "--no-wait"], env=env)
    return done


@pytest.mark.parametrize(
    ("words", "source"),
    [
        (
            ["hf://a/b", "--include", "*Q4*", "--include", "*Q8*", "--endpoint", "https://hub", "--hub-token", "t"],
            {
                "kind": "huggingface",
                "repo": "a/b",
                "include": ["*Q4*", "*Q8*"],
                "endpoint": "https://hub",
                "token": "t",
            },
        ),
        (
            ["s3://b/p", "--region", "eu-1", "--access-key", "k", "--secret-key", "s"],
            {"kind": "s3", "bucket": "b", "prefix": "p", "region": "eu-1", "access_key": "k", "secret_key": "s"},
        ),
        (["https://h/x.tar", "--sha256", "0" * 64], {"kind": "url", "url": "https://h/x.tar", "sha256": "0" * 64}),
    ],
)
def test_options_become_fields_of_the_source(
    asked: list[tuple[str, dict[str, Any]]], words: list[str], source: dict[str, Any]
) -> None:
    done = run(*words, "--name", "m")
    assert done.exit_code == 0, done.output
    ((path, body),) = asked
    assert path == "/api/v1/models/m/import"
    assert {key: value for key, value in body["source"].items() if value is not None} == source


def test_secrets_come_from_the_environment_or_files_and_are_never_shown(
    asked: list[tuple[str, dict[str, Any]]], tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("hidden-1\n")
    env = {"AICP_S3_ACCESS_KEY": "key", "AICP_S3_SECRET_KEY": f"@{tmp_path / 'secret'}", "AICP_HUB_TOKEN": "hidden-2"}
    done = run("s3://b/p", **env)
    assert done.exit_code == 0, done.output
    assert (asked[0][1]["source"]["access_key"], asked[0][1]["source"]["secret_key"]) == ("key", "hidden-1")
    assert "hidden" not in done.output + done.stderr
    assert "hidden" not in CliRunner().invoke(cli.app, ["model", "import", "--help"], env=env).output


def test_a_secret_key_that_was_not_given_is_asked_for(asked: list[tuple[str, dict[str, Any]]]) -> None:
    done = CliRunner().invoke(cli.app, ["model", "import", "s3://b/p", "--access-key", "k", "--no-wait"], input="pw\n")
    assert done.exit_code == 0, done.output
    assert asked[0][1]["source"]["secret_key"] == "pw"
    assert "pw" not in done.output


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["hf://a/b", "--region", "x"], "--region is for a source of kind s3"),
        (["/models/x", "--include", "x"], "--include is for a source of kind huggingface or modelscope"),
        (["s3://b/p", "--hub-token", "x"], "--hub-token is for"),
        (["hf://a/b", "--sha256", "x"], "--sha256 is for a source of kind url"),
        (["hf://a/b", "--upload"], "send a folder"),
    ],
)
def test_options_for_another_source_are_refused(
    asked: list[tuple[str, dict[str, Any]]], words: list[str], told: str
) -> None:
    done = run(*words)
    assert isinstance(done.exception, InvalidError)
    assert told in done.exception.message
    assert asked == []


def test_files_of_secrets_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match="cannot be read"):
        read_secret(f"@{tmp_path / 'none'}", "Token")
    (tmp_path / "empty").touch()
    with pytest.raises(InvalidError, match="is empty"):
        read_secret(f"@{tmp_path / 'empty'}", "Token")


def test_a_model_of_the_catalogue_by_its_name(asked: list[tuple[str, dict[str, Any]]]) -> None:
    entry = find_entry(CATALOG.items, "qwen3-0.6b")
    done = run("--from", "Qwen3-0.6B", "--hub-token", "t")
    assert done.exit_code == 0, done.output
    ((path, body),) = asked
    assert path == "/api/v1/models/qwen3-0.6b/import"
    assert (body["source"]["kind"], body["source"]["repo"], body["source"]["token"]) == (
        "huggingface", entry.huggingface, "t",
    )  # fmt: skip
    assert (body["type"], body["license"], body["description"]) == (entry.type, entry.license, entry.description)


def test_an_unknown_name_is_told_with_names_like_it() -> None:
    with pytest.raises(NotFoundError) as caught:
        find_entry(CATALOG.items, "qwen3-6b")
    assert "qwen3-0.6b" in (caught.value.hint or "")
    with pytest.raises(NotFoundError) as caught:
        find_entry(CATALOG.items, "zzzzzz")
    assert "aicp model catalog" in (caught.value.hint or "")


@pytest.mark.parametrize("words", [[], ["hf://a/b", "--from", "qwen3-0.6b"]])
def test_one_source_is_named(asked: list[tuple[str, dict[str, Any]]], words: list[str]) -> None:
    assert run(*words).exit_code == 2
    assert asked == []
