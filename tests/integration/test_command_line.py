"""The command line against a real platform: apply and export, JSON, exit codes, logs of what is dead."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.platform import DEMO_MODEL, Platform

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    platform = Platform(tmp_path_factory.mktemp("cli") / "data").start()
    yield platform
    platform.stop()


DOCUMENTS = f"""
kind: model
name: applied
description: from a file
type: chat
source: {DEMO_MODEL}
version: first
aliases: {{prod: first}}
---
kind: service
name: applied-service
spec: {{model: applied, replicas: 0}}
---
kind: key
name: applied-key
models: [applied-service]
expires_at: 2099-01-01T00:00:00Z
"""


def test_apply_twice_changes_nothing_and_export_gives_it_back(platform: Platform, tmp_path: Path) -> None:
    file = tmp_path / "all.yaml"
    file.write_text(DOCUMENTS)
    first = platform.cli("apply", "-f", str(file))
    assert first.stdout.count("created") == 3
    assert "sk-" in first.stderr
    again = platform.cli("apply", "-f", str(file))
    assert again.stdout.count("unchanged") == 3
    exported = platform.cli("export").stdout
    documents = {(one["kind"], one["name"]): one for one in yaml.safe_load_all(exported)}
    assert documents[("model", "applied")]["description"] == "from a file"
    assert documents[("service", "applied-service")]["spec"]["replicas"] == 0
    assert documents[("key", "applied-key")]["models"] == ["applied-service"]
    assert documents[("key", "applied-key")]["expires_at"].startswith("2099-01-01")
    assert documents[("model", "applied")]["aliases"] == {"prod": "first"}
    assert "sk-" not in exported
    applied = documents[("model", "applied")]
    assert (applied["version"], applied["source"]) == ("first", {"kind": "directory", "path": str(DEMO_MODEL)})
    file.write_text(exported)
    assert set(platform.cli("apply", "-f", str(file)).stdout.split("\n")) >= {
        "model applied: unchanged",
        "service applied-service: unchanged",
        "key applied-key: unchanged",
    }
    documents[("model", "applied")]["description"] = "changed"
    documents[("key", "applied-key")]["models"] = ["other"]
    file.write_text(yaml.safe_dump_all(documents.values()))
    changed = platform.cli("apply", "-f", str(file)).stdout
    assert "model applied: changed" in changed
    assert "key applied-key: changed" in changed
    assert "service applied-service: unchanged" in changed


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind: dragon\nname: x\n", "kind"),
        ("kind: service\nname: x\nspec: {model: m, replicas: many}\n", "spec.replicas"),
        ("kind: model\nname: applied\ndescripton: x\n", "descripton"),
        ("kind: [", "YAML"),
        ("kind: model\n", "name"),
    ],
)
def test_a_wrong_file_is_explained(platform: Platform, tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(text)
    done = platform.cli("apply", "-f", str(file), check=False)
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_json_is_one_document_for_programs(platform: Platform) -> None:
    for words in (
        ("model", "list"),
        ("service", "list"),
        ("key", "list"),
        ("node", "list"),
        ("pool", "list"),
        ("engine", "list"),
        ("job", "list"),
        ("user", "list"),
        ("project", "list"),
        ("usage",),
        ("usage", "--project", "default", "--since", "2026-01-01", "--group-by", "day", "--group-by", "key"),
        ("usage", "--requests", "--key", "none", "--outcome", "ok", "--limit", "5"),
        ("events", "--kind", "replica", "--since", "2026-01-01"),
        ("metrics", "requests_per_second"),
        ("overview",),
        ("project", "organizations"),
        ("project", "show", "default"),
        ("user", "show", "admin"),
        ("pool", "show", "default"),
        ("engine", "show", "vllm"),
        ("key", "list", "--state", "active"),
        ("service", "list", "--state", "ready"),
        ("model", "catalog", "--type", "chat"),
        ("audit",),
        ("status",),
    ):
        done = platform.cli(*words, "--json")
        json.loads(done.stdout)
    assert json.loads(platform.cli("node", "list", "--json").stdout)[0]["state"] == "ready"


def test_changes_answer_with_the_changed_object(platform: Platform) -> None:
    def change(*words: str) -> dict[str, Any]:
        return json.loads(platform.cli(*words, "--json").stdout)

    assert change("project", "create", "shop")["name"] == "shop"
    assert change("user", "create", "ada", "--project", "shop=viewer")["user"]["projects"] == {"shop": "viewer"}
    assert change("user", "update", "ada", "--role", "auditor", "--email", "ada@example.org")["email"]
    assert change("user", "update", "ada", "--no-role")["platform_roles"] == []
    assert change("user", "disable", "ada")["disabled"] is True
    assert change("user", "enable", "ada")["disabled"] is False
    assert change("project", "grant", "shop", "ada", "developer")["role"] == "developer"
    key = change("key", "create", "till", "--project", "shop", "--model", "a")["key"]
    assert change("key", "update", key["id"], "--name", "counter", "--all-models")["models"] is None
    assert change("key", "revoke", key["id"], "--yes") == {"revoked": key["id"]}
    node = json.loads(platform.cli("node", "list", "--json").stdout)[0]
    assert change("node", "cordon", node["id"])["state"] == "cordoned"
    assert change("node", "uncordon", node["id"])["state"] == "ready"
    assert change("key", "show", key["id"])["revoked_at"]
    assert change("project", "update", "shop", "--description", "tills")["description"] == "tills"
    assert change("model", "create", "empty", "--project", "shop")["versions"] == 0
    assert change("user", "delete", "ada", "--yes") == {"removed": "ada"}


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("model", "show", "nope"), 3),
        (("service", "show", "nope"), 3),
        (("publish", "nope"), 3),
        (("logs", "nope"), 3),
        (("model", "frobnicate"), 2),
        (("publish",), 2),
        (("--token", "wrong", "model", "list"), 4),
        (("--url", "http://127.0.0.1:1", "model", "list"), 5),
        (("model", "import", "/nonexistent"), 3),
        (("key", "revoke", "nope", "--yes"), 3),
        (("--version",), 0),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else str(value),
)
def test_exit_codes(platform: Platform, words: tuple[str, ...], status: int) -> None:
    done = platform.cli(*words, check=False)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert status == 0 or done.stderr.strip(), "a failure says nothing"


def test_the_log_of_a_dead_replica_can_be_read(platform: Platform) -> None:
    platform.import_demo()
    platform.cli("publish", "aicp-demo", "--name", "short", "--engine", "echo")
    (replica,) = platform.client.services.replicas("short")
    alive = platform.cli("logs", "short").stdout
    assert "starting echo" in alive
    assert platform.cli("service", "replica", replica.id).stdout.count("short")
    assert "words" in platform.cli("service", "update", "short", "--description", "words", "--json").stdout
    platform.cli("service", "stop", "short")
    stopped = platform.client.services.wait("short")
    assert stopped.stopped
    dead = platform.cli("logs", "short").stdout
    assert alive.splitlines()[0] in dead
    assert platform.cli("logs", "short", "--replica", replica.id).stdout == dead
    platform.client.services.delete("short")
    assert platform.cli("logs", "--replica", replica.id).stdout == dead
    used = platform.cli("usage", "--csv", "--service", "short", "--until", "2999-01-01").stdout
    assert used.startswith("request_id,")
    assert (platform.data_dir / "agent" / "replicas" / replica.id / "engine.log").is_file()
