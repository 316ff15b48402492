"""Which arm of a route gets a request: by weight, the same one for a session, and only where something is ready."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import pytest
from tests.support.gateway_process import PEPPER, entry_of, new_secret

from aicp.core.route import ArmEntry, ChoiceEntry, KeyEntry, RouteEntry, RouteTable, Target
from aicp.gateway.api_keys import Key
from aicp.gateway.arms import Arms
from aicp.gateway.routes import Route, Routes
from aicp.gateway.upstream import UpstreamPool
from aicp.security.keys import encode_pepper


@dataclass(frozen=True)
class Place:
    name: str
    replicas: tuple[int, ...] = (1,)


STABLE, CANARY, OTHER, DOWN = Place("stable"), Place("canary"), Place("other"), Place("down", ())


def chosen(
    shares: Sequence[tuple[Place, int]], sessions: Sequence[bytes] = (), *, fallbacks: Sequence[Place] = ()
) -> list[str]:
    arms = Arms("chat", shares, fallbacks)
    random = Random(7).random
    return [arms.ways(session, "key_1", random)[0].name for session in sessions or [b""] * 10_000]


def test_requests_are_shared_out_by_weight() -> None:
    count = Counter(chosen([(STABLE, 95), (CANARY, 5)]))
    assert 400 < count["canary"] < 600
    assert count["stable"] + count["canary"] == 10_000


def test_sessions_are_shared_out_by_weight_and_stay() -> None:
    sessions = [str(number).encode() for number in range(10_000)]
    first = chosen([(STABLE, 80), (CANARY, 20)], sessions)
    assert 1800 < Counter(first)["canary"] < 2200
    assert chosen([(STABLE, 80), (CANARY, 20)], sessions) == first


def test_a_larger_weight_moves_no_session_back() -> None:
    sessions = [str(number).encode() for number in range(2_000)]
    before = chosen([(CANARY, 10), (STABLE, 90)], sessions)
    after = chosen([(CANARY, 30), (STABLE, 70)], sessions)
    assert all(now == "canary" for then, now in zip(before, after, strict=True) if then == "canary")


def test_what_an_unready_arm_would_get_is_shared_by_weight() -> None:
    count = Counter(chosen([(DOWN, 50), (STABLE, 40), (CANARY, 10)]))
    assert count["down"] == 0
    assert 1800 < count["canary"] < 2200


def test_a_session_returns_to_its_arm() -> None:
    sessions = [str(number).encode() for number in range(500)]
    whole = chosen([(OTHER, 50), (STABLE, 40), (CANARY, 10)], sessions)
    without = chosen([(Place("other", ()), 50), (STABLE, 40), (CANARY, 10)], sessions)
    assert all(now == then for then, now in zip(whole, without, strict=True) if then != "other")


def test_an_arm_of_weight_0_gets_nothing() -> None:
    assert set(chosen([(STABLE, 1), (CANARY, 0)])) == {"stable"}


def test_fallbacks_follow_in_order_without_the_chosen_and_the_unready() -> None:
    arms = Arms("chat", [(STABLE, 1)], [OTHER, STABLE, DOWN, CANARY])
    assert [way.name for way in arms.ways(b"", "k", Random(1).random)] == ["stable", "other", "canary"]
    down = Arms("chat", [(DOWN, 1)], [OTHER, CANARY])
    assert [way.name for way in down.ways(b"", "k", Random(1).random)] == ["other", "canary"]


def test_a_key_stays_where_that_is_asked_for() -> None:
    random = Random(3).random
    by_key = Arms("chat", [(STABLE, 50), (CANARY, 50)], [], by_key=True)
    kept = {key: {by_key.ways(b"", key, random)[0].name for _ in range(20)} for key in map(str, range(50))}
    assert all(len(names) == 1 for names in kept.values())
    assert {name for names in kept.values() for name in names} == {"stable", "canary"}


def entry(name: str, *, ready: bool = True, project: str | None = "default", hidden: bool = False) -> RouteEntry:
    targets = [Target(f"rep_{name}", f"unix:/{name}")] if ready else []
    reason = "" if ready else "stopped"
    return RouteEntry(
        name, name, project, "chat", "t", name, ["/v1/chat/completions"], [], targets, reason=reason, hidden=hidden
    )


@pytest.fixture
def key() -> KeyEntry:
    return entry_of(new_secret())


def found(folder: Path, key: KeyEntry, entries: list[RouteEntry], choice: ChoiceEntry) -> Route | None:
    routes = Routes(folder / "routes.json")
    routes.swap(RouteTable("1", encode_pepper(PEPPER), [key], entries, choices=[choice]))
    assert routes.table is not None
    return routes.table.find("chat", Key(key))


def test_a_choice_of_one_is_a_plain_route(tmp_path: Path, key: KeyEntry) -> None:
    route = found(tmp_path, key, [entry("a")], ChoiceEntry("chat", "default", [ArmEntry("a")]))
    assert route is not None
    assert (route.arms, route.public, route.name, len(route.replicas)) == (None, "chat", "a", 1)


def test_a_choice_goes_before_the_route_of_its_name(tmp_path: Path, key: KeyEntry) -> None:
    choice = ChoiceEntry("chat", "default", [ArmEntry("a")])
    route = found(tmp_path, key, [entry("chat"), entry("a")], choice)
    assert route is not None
    assert route.service == "a"


def test_nothing_ready_says_of_each_why(tmp_path: Path, key: KeyEntry) -> None:
    choice = ChoiceEntry("chat", "default", [ArmEntry("a"), ArmEntry("gone")], ["b"])
    route = found(tmp_path, key, [entry("a", ready=False), entry("b", ready=False)], choice)
    assert route is not None
    assert (route.replicas, route.arms, route.entry.reason) == ((), None, "a: stopped; b: stopped")


def test_an_arm_of_weight_0_that_alone_is_ready_makes_nothing_ready(tmp_path: Path, key: KeyEntry) -> None:
    choice = ChoiceEntry("chat", "default", [ArmEntry("a", 0), ArmEntry("b")])
    route = found(tmp_path, key, [entry("a"), entry("b", ready=False)], choice)
    assert route is not None
    assert (route.replicas, route.arms, route.entry.reason) == ((), None, "b: stopped")


def test_a_hidden_route_and_a_choice_of_another_project_are_not_found(tmp_path: Path, key: KeyEntry) -> None:
    choice = ChoiceEntry("chat", "other", [ArmEntry("a")])
    assert found(tmp_path, key, [entry("a")], choice) is None
    hidden = entry("chat", hidden=True)
    assert found(tmp_path, key, [hidden, entry("a")], replace(choice, name="x")) is None


def test_a_public_choice_opens_a_service_of_a_project(tmp_path: Path, key: KeyEntry) -> None:
    route = found(tmp_path, key, [entry("a", project="other")], ChoiceEntry("chat", None, [ArmEntry("a")]))
    assert route is not None
    assert route.project is None


async def test_a_provider_keeps_the_version_of_its_address_and_must_be_allowed() -> None:
    pool = UpstreamPool("http://127.0.0.1:9/api/v4", "secret", ["10.0.0.0/8"])
    head = pool.request("/v1/chat/completions", b"r", b"{}")
    assert head.startswith(b"POST /api/v4/chat/completions HTTP/1.1\r\n")
    assert b"authorization: Bearer secret\r\n" in head
    with pytest.raises(ConnectionRefusedError, match="private or reserved"):
        await pool.connect(1.0)
