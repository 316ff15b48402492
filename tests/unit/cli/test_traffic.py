"""`aicp traffic` and `aicp key use`: what they show, that they watch, and what they say when there is nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from aicp.cli import app as cli
from aicp.core.limits import Priority
from aicp.core.traffic import LimitScope, LimitUse, Traffic, TrafficRoute, TrafficRow, UsedLimit

AT = datetime(2026, 1, 5, tzinfo=UTC)
ROW = TrafficRow(
    service="demo",
    project="default",
    priority=Priority.BATCH,
    requests_per_second=12.34,
    errors_per_second=0.5,
    prompt_tokens_per_second=12_345.6,
    completion_tokens_per_second=7,
    cached_share=None,
    ttft_ms_p50=None,
    ttft_ms_p95=1234.5,
    running=3,
    waiting=2,
)


class World:
    """What the platform answers; `asked` are the keys that were asked for."""

    def __init__(self) -> None:
        self.looks = 0
        self.rows, self.gateways = [ROW], 1
        self.asked: list[Sequence[str]] = []
        self.uses: list[LimitUse] = []

    def now(self) -> Traffic:
        self.looks += 1
        routes = [TrafficRoute(route="demo", service="demo", places=8, used=5)] if self.rows else []
        return Traffic(at=AT, gateways=self.gateways, services=self.rows, routes=routes)

    def limits(self, *, project: str | None = None, api_key_id: Sequence[str] = ()) -> list[LimitUse]:
        self.asked.append(api_key_id)
        return self.uses


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    monkeypatch.setattr("aicp.cli.traffic.connect", lambda _: SimpleNamespace(traffic=made))
    return made


def shown(*words: str) -> str:
    answer = CliRunner().invoke(cli.app, [*words])
    assert answer.exit_code == 0, answer.output
    return answer.stdout


def test_traffic_is_asked_for_once(world: World) -> None:
    found = json.loads(shown("traffic", "--json"))
    assert found["services"][0]["requests_per_second"] == 12.34
    assert world.looks == 1


def test_it_is_shown_anew_until_it_is_broken_off(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def sleep(seconds: float) -> None:
        assert seconds == 2
        if world.looks == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("aicp.cli.traffic.time.sleep", sleep)
    shown("traffic", "--watch", "--json")
    assert world.looks == 3


def test_use_of_limits_is_asked_for_the_keys_that_are_named(world: World) -> None:
    limits = [UsedLimit(limit="rpm", used=30, most=60), UsedLimit(limit="tpm", used=None, most=1_000_000)]
    world.uses = [LimitUse(scope=LimitScope.KEY, name="app", id="key_a", project="default", limits=limits)]
    found = json.loads(shown("key", "use", "key_a", "--json"))
    assert found[0]["limits"][0] == {"limit": "rpm", "used": 30, "most": 60}
    shown("key", "use")
    assert world.asked == [["key_a"], []]
