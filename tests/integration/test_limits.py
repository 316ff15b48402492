"""Limits from the command line to the gateway's refusal, and over a killed gateway, on a real platform."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from tests.support.platform import Platform, eventually

from aicp.core.money import amount_text, money_text
from aicp.core.service import Mode, ServiceCreate, ServiceSpec

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    platform = Platform(tmp_path_factory.mktemp("limits") / "data").start()
    try:
        platform.import_demo("demo")
        spec = ServiceSpec(model="demo", engine="echo", mode=Mode.CUSTOM)
        platform.client.services.create(ServiceCreate(spec=spec))
        platform.client.services.wait("demo", timeout_seconds=60)
        yield platform
    finally:
        platform.stop()


def made(platform: Platform, *options: str) -> tuple[str, str]:
    """Id and secret of a new key that the gateway knows."""
    created = json.loads(platform.cli("key", "create", "limited", *options, "--json").stdout)
    key_id, secret = created["key"]["id"], created["secret"]
    eventually("the gateway knows the key", lambda: models(platform, secret) == 200, seconds=5)
    return key_id, secret


def models(platform: Platform, secret: str) -> int:
    headers = {"Authorization": f"Bearer {secret}"}
    return httpx.get(f"{platform.gateway_url}/v1/models", headers=headers, trust_env=False).status_code


def ask(platform: Platform, secret: str) -> httpx.Response:
    return platform.chat(secret, "demo", "hello", max_tokens=4)


def test_a_limit_holds_with_many_at_once_and_is_raised_while_they_call(platform: Platform) -> None:
    key_id, secret = made(platform, "--limit", "rpm=5")
    with ThreadPoolExecutor(16) as pool:
        statuses = [answer.status_code for answer in pool.map(lambda _: ask(platform, secret), range(16))]
    assert sorted(statuses) == [200] * 5 + [429] * 11
    shown = platform.cli("key", "show", key_id).stdout
    assert "rpm=5" in shown
    platform.cli("key", "update", key_id, "--limit", "rpm=6", "--limit", "concurrency=2")
    eventually("the raised limit is in force", lambda: ask(platform, secret).status_code == 200, seconds=5)
    assert ask(platform, secret).status_code == 429
    platform.cli("key", "update", key_id, "--limit", "rpm=", "--limit", "concurrency=")
    eventually("the lifted limit is lifted", lambda: ask(platform, secret).status_code == 200, seconds=5)


def test_what_goes_on_and_what_is_used_of_limits_is_seen_while_it_is_so(platform: Platform) -> None:
    key_id, secret = made(platform, "--limit", "rpm=8", "--limit", "tokens_per_day=1000", "--priority", "interactive")
    tokens = sum(ask(platform, secret).json()["usage"]["total_tokens"] for _ in range(3))
    (use,) = json.loads(platform.cli("key", "use", key_id, "--json").stdout)
    used = {limit["limit"]: (limit["used"], limit["most"]) for limit in use["limits"]}
    assert used == {"rpm": (3, 8), "tokens_per_day": (tokens, 1000)}
    traffic = json.loads(platform.cli("traffic", "--json").stdout)
    assert traffic["gateways"] == 1
    (row,) = (row for row in traffic["services"] if (row["service"], row["priority"]) == ("demo", "interactive"))
    assert row["requests_per_second"] > 0
    assert row["project"] == "default"
    assert "interactive" in platform.cli("traffic").stdout
    assert "tokens_per_day" in platform.cli("key", "use").stdout


def test_a_limit_of_the_project_holds_for_all_its_keys(platform: Platform) -> None:
    platform.cli("project", "create", "shop", "--limit", "rpm=3")
    keys = [made(platform, "--project", "shop")[1] for _ in range(2)]
    answers = [ask(platform, keys[number % 2]) for number in range(5)]
    assert [answer.status_code for answer in answers] == [200] * 3 + [429] * 2
    assert "The project 'shop' may send 3 requests a minute" in answers[-1].json()["error"]["message"]


def test_a_quota_holds_over_a_killed_gateway_and_counts_what_control_has_counted(platform: Platform) -> None:
    key_id, secret = made(platform, "--limit", "tokens_per_day=100")
    served, killed = 0, False
    while (answer := ask(platform, secret)).status_code == 200:
        served += answer.json()["usage"]["total_tokens"]
        assert served <= 100
        if served > 40 and not killed:
            killed = True
            os.kill(platform.pid("gateway"), signal.SIGKILL)
            eventually("the gateway is back", lambda: is_back(platform, secret), seconds=10)
    assert answer.json()["error"]["code"] == "insufficient_quota"
    assert killed
    eventually(
        "control has counted it",
        lambda: counted(platform, key_id, "prompt_tokens", "completion_tokens") == served,
        seconds=10,
    )
    assert ask(platform, secret).status_code == 429


def test_a_budget_holds_over_a_killed_gateway_and_what_has_no_price_is_served(platform: Platform) -> None:
    platform.cli("price", "set", "demo", "--input", "100", "--output", "1000")
    key_id, secret = made(platform, "--limit", "budget_per_day=0.05", "--tag", "team=shop")
    served, tokens, killed = 0, [0, 0], False
    while (answer := ask(platform, secret)).status_code == 200:
        used = answer.json()["usage"]
        tokens = [tokens[0] + used["prompt_tokens"], tokens[1] + used["completion_tokens"]]
        served += 1
        if served == 2:
            killed = True
            os.kill(platform.pid("gateway"), signal.SIGKILL)
            eventually("the gateway is back", lambda: is_back(platform, secret), seconds=10)
    assert killed
    spent = 100 * tokens[0] + 1000 * tokens[1]
    assert spent <= 50_000
    error = answer.json()["error"]
    words = f"This key may spend 0.05 USD a day (UTC) and has spent {money_text(spent, 'USD')}"
    assert (error["code"], words in error["message"]) == ("insufficient_quota", True)
    eventually("control has counted it", lambda: counted(platform, key_id, "cost_micros") == spent, seconds=10)
    assert amount_text(spent) in platform.cli("usage", "--key", key_id).stdout
    assert words in ask(platform, secret).json()["error"]["message"]
    platform.cli("price", "delete", "demo", "--yes")
    eventually("what has no price is served", lambda: ask(platform, secret).status_code == 200, seconds=5)
    eventually("it is told", lambda: counted(platform, key_id, "unpriced") > 0, seconds=10)
    assert usage(platform, key_id)["cost_micros"] == spent
    assert [key.id for key in platform.client.keys.list(tag="team=shop")] == [key_id]


def usage(platform: Platform, key_id: str) -> dict[str, Any]:
    (row,) = json.loads(platform.cli("usage", "--key", key_id, "--json").stdout)
    return row


def is_back(platform: Platform, secret: str) -> bool:
    try:
        return models(platform, secret) == 200
    except httpx.TransportError:
        return False


def counted(platform: Platform, key_id: str, *columns: str) -> int:
    """What the platform has counted for a key until now, which is nothing where its log has not come yet."""
    rows = json.loads(platform.cli("usage", "--key", key_id, "--json").stdout)
    return sum(row[column] for row in rows for column in columns)


def test_a_rotated_secret(platform: Platform) -> None:
    key_id, old = made(platform)
    new = json.loads(platform.cli("key", "rotate", key_id, "--overlap-seconds", "3600", "--json").stdout)["secret"]
    eventually("the new secret opens", lambda: models(platform, new) == 200, seconds=5)
    assert models(platform, old) == 200
    newest = json.loads(platform.cli("key", "rotate", key_id, "--overlap-seconds", "0", "--json").stdout)["secret"]
    eventually("only the newest opens", lambda: models(platform, newest) == 200, seconds=5)
    assert [models(platform, secret) for secret in (old, new)] == [401, 401]
