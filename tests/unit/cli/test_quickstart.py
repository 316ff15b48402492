"""The key of `aicp quickstart`: its own is taken again or replaced, nobody else's is touched."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest

from aicp.cli import quickstart
from aicp.cli.quickstart import Quickstart, own_key, read_quickstart
from aicp.client.rest import Client
from aicp.core.errors import ConflictError, NotFoundError
from aicp.core.service import ServiceCreate
from aicp.security.keys import NewKey, make_key

AT = "2026-01-01T00:00:00Z"


class Keys:
    """A platform that knows keys only."""

    def __init__(self, *known: NewKey, **fields: Any) -> None:
        self.rows = {key.id: {**_row(key), **fields} for key in known}
        self.revoked: list[str] = []
        self.client = Client("http://platform")
        transport = httpx.MockTransport(self._answer)
        self.client.transport._http = httpx.Client(base_url="http://platform", transport=transport)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        name = request.url.path.rsplit("/", 1)[-1]
        if request.method == "POST":
            made = make_key()
            self.rows[made.id] = _row(made)
            return httpx.Response(201, json={"key": self.rows[made.id], "secret": made.secret})
        if name not in self.rows:
            return httpx.Response(404, json={"error": {"message": "There is no such key."}})
        if request.method == "DELETE":
            self.revoked.append(name)
            return httpx.Response(204)
        return httpx.Response(200, json=self.rows[name])


def _row(key: NewKey) -> dict[str, Any]:
    return {"id": key.id, "name": "quickstart", "project": "default", "prefix": key.prefix, "created_at": AT}


def facts(secret: str) -> Quickstart:
    return Quickstart("http://c", "http://g/v1", secret, "aicp-demo", "admin", None)


def test_the_key_that_still_holds_is_taken_again() -> None:
    own = make_key()
    platform = Keys(own)
    with quickstart._key(platform.client, facts(own.secret)) as secret:
        assert secret == own.secret
    assert platform.revoked == []


@pytest.mark.parametrize("fields", [{"expires_at": AT}, {"models": ["other"]}])
def test_a_key_that_is_of_no_use_is_replaced(fields: dict[str, Any]) -> None:
    own = make_key()
    platform = Keys(own, **fields)
    with quickstart._key(platform.client, facts(own.secret)) as secret:
        assert secret != own.secret
        assert platform.revoked == [], "the old key goes when the new one has been of use"
    assert platform.revoked == [own.id]


@pytest.mark.parametrize("kept", [None, facts("sk-nonsense"), facts(make_key().secret)])
def test_a_strangers_key_of_that_name_is_left_alone(kept: Quickstart | None) -> None:
    stranger = make_key()
    platform = Keys(stranger)
    assert own_key(platform.client, kept) is None
    with quickstart._key(platform.client, kept) as secret:
        assert secret != stranger.secret
    assert platform.revoked == []


def test_a_key_that_came_to_nothing_is_revoked() -> None:
    platform = Keys()
    with pytest.raises(KeyboardInterrupt), quickstart._key(platform.client, None):
        raise KeyboardInterrupt
    assert platform.revoked == list(platform.rows)


def test_a_broken_file_is_none(tmp_path: Path) -> None:
    for text in ("", "{}", json.dumps({"api_key": "x"})):
        (tmp_path / "quickstart.json").write_text(text)
        assert read_quickstart(tmp_path) is None


class Serving:
    """A platform whose engine for accelerators cannot be installed."""

    def __init__(self, *variants: str) -> None:
        self._variants = list(variants)
        self.wanted: list[ServiceCreate] = []
        self.services = SimpleNamespace(plan=self._plan, create=self._create, get=self._get)
        self.engines = SimpleNamespace(install=self._install)

    def _plan(self, wanted: ServiceCreate) -> SimpleNamespace:
        variant = self._variants.pop(0)
        installed = variant == "cpu" and wanted.spec.compute.accelerators == 0
        return SimpleNamespace(engine="vllm", engine_version="1", variant=variant, environment_installed=installed)

    def _install(self, *_: str) -> None:
        raise ConflictError("The driver is too old.")

    def _get(self, _: str) -> None:
        raise NotFoundError("There is none.")

    def _create(self, wanted: ServiceCreate) -> None:
        self.wanted.append(wanted)


def test_an_engine_that_fails_on_the_accelerator_leaves_the_processor(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(quickstart, "wait_for_service", lambda *_: None)
    platform = Serving("cuda", "cpu")
    quickstart._serve(cast("Client", platform))
    assert [wanted.spec.compute.accelerators for wanted in platform.wanted] == [0]
    assert "The driver is too old." in capsys.readouterr().err
    with pytest.raises(ConflictError):
        quickstart._serve(cast("Client", Serving("cpu")))
