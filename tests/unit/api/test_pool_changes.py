"""REST over moves that free whole accelerators, reservations, and quota that is borrowed, with the loop behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from tests.support.api import Parts, serve_api
from tests.support.identity import add_project
from tests.support.runner import FakeRunner, make_node_status
from tests.support.services import Platform
from tests.unit.api.test_pools import Served

from aicp.control.nodes import Nodes
from aicp.control.pool_moves import PoolMoves
from aicp.control.pools import Pools
from aicp.control.reservations import Reservations
from aicp.control.services import Services
from aicp.core.accelerator import Accelerator, AcceleratorHealth
from aicp.core.event import EventQuery
from aicp.core.identity import Role
from aicp.core.node import NodeStatus
from aicp.core.quantity import GIB
from aicp.core.slice import Slicing
from aicp.store.database import Database
from aicp.store.events import Events

CARDS = 3


def with_cards(node_id: str) -> NodeStatus:
    status = make_node_status(node_id)
    way = Slicing(mechanism="interposer", resizable=False, oversubscribable=True)
    cards = [
        Accelerator(vendor="nvidia", index=n, device_id=f"gpu-{n}", product="L20", memory_bytes=48 * GIB, slicing=[way])
        for n in range(CARDS)
    ]
    return status.model_copy(update={"accelerators": [*status.accelerators, *cards], "memory_bytes": 256 * GIB})


@pytest.fixture
async def served(sqlite: Database) -> AsyncIterator[Served]:
    built: list[Platform] = []

    def use_cases(parts: Parts) -> dict[type, object]:
        platform = Platform(parts.database, parts.clock, runner=FakeRunner(with_cards("node_a")), bell=parts.bell)
        built.append(platform)
        shared = (parts.database, parts.clock, parts.bell)
        return {
            Services: platform.services,
            Nodes: Nodes(*shared),
            Pools: Pools(*shared),
            PoolMoves: PoolMoves(*shared),
            Reservations: Reservations(*shared),
        }

    async with serve_api(use_cases, database=sqlite) as api:
        platform = await built[0].prepare()
        await add_project(sqlite, api.parts.clock, "lab")
        yield Served(api, platform)


async def publish(served: Served, name: str, percent: int | None, *, project: str = "default", **spec: Any) -> None:
    compute: dict[str, Any] = {"vendor": "nvidia", "accelerators": 1}
    if percent is not None:
        compute["slice"] = {"compute_percent": percent, "memory_bytes": 4 * GIB}
    body = {"name": name, "project": project, "spec": {"model": "demo", "compute": compute, **spec}}
    await served.ok("POST", "/services", body)


async def cards_of(served: Served, name: str) -> list[str]:
    replicas = (await served.ok("GET", f"/services/{name}/replicas"))["items"]
    live = [item for item in replicas if item["ended_at"] is None and item["allocation"]]
    return sorted(share["device_id"] for item in live for share in item["allocation"]["devices"])


async def texts(served: Served, action: str) -> list[str]:
    async with served.platform.database.snapshot() as tx:
        return [event.message for event in (await Events(tx).list(EventQuery(action=action), limit=50)).items]


async def scatter(served: Served) -> None:
    """`one` on the first card and `two` on the second, each of which could hold both; `whole` on the third."""
    await publish(served, "filler", 70)
    await served.platform.passes()
    await publish(served, "one", 25)
    await served.platform.passes()
    await publish(served, "two", 25)
    await publish(served, "whole", None)
    await served.platform.passes()
    await served.ok("DELETE", "/services/filler")
    await served.platform.passes()


async def test_a_proposal_frees_a_card_for_what_waits_and_is_carried_out_without_silence(served: Served):
    await scatter(served)
    assert await cards_of(served, "one") != await cards_of(served, "two")
    await publish_waiting(served, "large")
    proposal = await served.ok("GET", "/pools/default/defragmentation")
    assert len(proposal["moves"]) == len(proposal["freed"]) == 1
    assert proposal["helps"] == ["large"]
    [move] = proposal["moves"]
    assert (move["from_node"], move["node"]) == ("node-a", "node-a")
    assert move["from_accelerator"] != move["accelerator"]
    status, _ = await served.call("POST", "/pools/default/defragmentation", {"replicas": ["rep_none"]})
    assert status == 409
    done = await served.ok("POST", "/pools/default/defragmentation", {})
    assert done["under_way"] == [move["replica"]]
    assert (await served.ok("GET", "/pools/default/defragmentation"))["moves"] == []
    for _ in range(16):
        await served.platform.passes(1)
        for name in ("one", "two"):
            assert (await served.ok("GET", f"/services/{name}"))["replicas_ready"] >= 1
    assert await cards_of(served, "one") == await cards_of(served, "two")
    assert (await served.ok("GET", "/services/large"))["state"] == "ready"
    assert any("moves from" in text for text in await texts(served, "service.moves"))


async def publish_waiting(served: Served, name: str) -> None:
    """Publishes a service that fits while `whole` is not there, and brings that one back before it is placed."""
    await served.ok("PATCH", "/services/whole", {"stopped": True})
    await served.platform.passes()
    await publish(served, name, None)
    await served.ok("PATCH", f"/services/{name}", {"stopped": True})
    await served.ok("PATCH", "/services/whole", {"stopped": False})
    await served.platform.passes()
    await served.ok("PATCH", f"/services/{name}", {"stopped": False})
    await served.platform.passes(4)


async def test_a_move_whose_place_is_taken_meanwhile_is_given_up_and_says_so(served: Served):
    await scatter(served)
    [move] = (await served.ok("POST", "/pools/default/defragmentation", {}))["moves"]
    stays = "one" if move["service"] == "two" else "two"
    # the card that it is to go to is filled before the loop comes by
    [card] = await cards_of(served, stays)
    device = served.platform.runner.statuses["node_a"].accelerators[int(card[-1]) + 1]
    full = device.model_copy(update={"health": AcceleratorHealth.FAILED})
    status = served.platform.runner.statuses["node_a"]
    others = [full if item.device_id == card else item for item in status.accelerators]
    served.platform.runner.statuses["node_a"] = status.model_copy(update={"accelerators": others})
    served.platform.clock.advance(6)
    await served.platform.node_loop.step()
    before = await cards_of(served, move["service"])
    await served.platform.passes()
    assert await cards_of(served, move["service"]) == before
    assert any("its new place is not free any more" in text for text in await texts(served, "service.stays"))
    assert (await served.ok("GET", "/pools/default/defragmentation"))["under_way"] == []


def window(served: Served, start: float, end: float) -> dict[str, Any]:
    now = served.platform.clock.now()
    return {"starts_at": str(now + timedelta(hours=start)), "ends_at": str(now + timedelta(hours=end))}


async def test_reserved_cards_are_the_project_s_alone_and_others_move_away_when_it_begins(served: Served):
    await publish(served, "web", 50)
    await served.platform.passes()
    [card] = await cards_of(served, "web")
    body = {"pool": "default", "project": "lab", "accelerators": 3, **window(served, 1, 2)}
    made = await served.ok("POST", "/reservations", body)
    assert made["active"] is False
    assert [item["held_by_others"] for item in made["accelerators"]] == [0, 0, 1]
    status, message, hint = await served.refused("POST", "/reservations", body)
    assert status == 409
    assert message == (
        "Pool 'default' has 0 accelerators that fit and can be reserved then, 3 were asked;"
        " 3 are reserved already, 0 are held by others now and 0 are on nodes that take no replicas."
    )
    assert "later time" in hint
    await served.ok("DELETE", f"/reservations/{made['id']}")
    body |= {"accelerators": 2}
    await served.ok("POST", "/reservations", body)
    await publish(served, "more", 100)
    await served.platform.passes()
    await move_clock(served, 3600)
    await served.platform.passes()
    [kept] = (await served.ok("GET", "/reservations?pool=default"))["items"]
    reserved = {item["device_id"] for item in kept["accelerators"]}
    assert kept["active"] is True
    assert card not in reserved
    await publish(served, "theirs", 30, project="lab")
    await served.platform.passes()
    assert set(await cards_of(served, "theirs")) <= reserved
    await publish(served, "fresh", 60)
    await served.platform.passes(4)
    reasons = [item["nodes"] for item in (await served.ok("GET", "/services/fresh/waiting"))["items"]]
    assert all("are reserved for lab" in node["reason"] for nodes in reasons for node in nodes)
    assert reasons
    await move_clock(served, 3600)
    await served.platform.passes()
    assert (await served.ok("GET", "/reservations"))["items"] == []
    assert (await served.ok("GET", "/services/fresh"))["state"] == "ready"


async def move_clock(served: Served, seconds: float) -> None:
    served.platform.clock.advance(seconds)
    await served.platform.node_loop.step()


async def test_who_holds_a_card_when_its_reservation_begins_goes_on_elsewhere_without_silence(served: Served):
    await publish(served, "web", 30)
    await served.platform.passes()
    [card] = await cards_of(served, "web")
    taken = {"pool": "default", "project": "lab", "accelerators": 3, **window(served, 1, 2)}
    made = await served.ok("POST", "/reservations", taken)
    await served.ok("DELETE", f"/reservations/{made['id']}")
    for number in range(CARDS):
        if f"gpu-{number}" != card:
            await publish(served, f"own-{number}", None)
            await served.platform.passes()
    await served.ok("POST", "/reservations", {**taken, "accelerators": 3})
    await move_clock(served, 3600)
    await served.platform.passes()
    # no other place yet: it goes on where it is
    assert await cards_of(served, "web") == [card]
    assert (await served.ok("GET", "/services/web"))["replicas_ready"] == 1


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"project": "nobody"}, 422, "no project 'nobody'"),
        ({"pool": "nowhere"}, 404, "no pool 'nowhere'"),
        ({"vendor": "cpu"}, 422, "cannot be reserved"),
        ({"ends_at": "2001-01-01T00:00:00Z"}, 422, "which is over"),
        ({"accelerators": 4}, 409, "has 3 accelerators that fit"),
        ({"product": "H100"}, 422, "has no accelerator H100"),
    ],
    ids=["project", "pool", "processors", "over", "too many", "no such card"],
)
async def test_a_reservation_that_cannot_be_met_is_refused(
    served: Served, change: dict[str, Any], status: int, words: str
):
    body = {"pool": "default", "project": "lab", "accelerators": 1, "ends_at": window(served, 0, 1)["ends_at"]}
    found, message, hint = await served.refused("POST", "/reservations", {**body, **change})
    assert found == status, message
    assert words in message
    assert hint


async def test_what_is_reserved_stays_in_its_pool_and_nodes_that_take_nothing_are_left_out(served: Served):
    body = {"pool": "default", "project": "lab", "accelerators": 1, "ends_at": window(served, 0, 1)["ends_at"]}
    made = await served.ok("POST", "/reservations", body)
    await served.ok("POST", "/pools", {"name": "other"})
    status, message, hint = await served.refused("PATCH", "/nodes/node_a", {"pool": "other"})
    assert (status, made["id"] in message, hint) == (409, True, "End the reservation first: aicp reservation rm ID.")
    await served.ok("DELETE", f"/reservations/{made['id']}")
    await served.ok("PATCH", "/nodes/node_a", {"cordoned": True})
    status, message, _ = await served.refused("POST", "/reservations", body)
    assert (status, "3 are on nodes that take no replicas" in message) == (409, True)


async def test_only_who_may_write_nodes_reserves_and_moves(served: Served):
    for method, path, body in (
        ("POST", "/reservations", {"pool": "default", "project": "lab", "accelerators": 1, **window(served, 0, 1)}),
        ("DELETE", "/reservations/rsv_none", None),
        ("POST", "/pools/default/defragmentation", {}),
    ):
        assert (await served.call(method, path, body, role=Role.DEVELOPER))[0] == 403, path
    assert (await served.call("GET", "/reservations", role=Role.DEVELOPER))[0] == 200
    assert (await served.call("DELETE", "/reservations/rsv_none"))[0] == 404


async def test_borrowed_cards_go_back_to_their_owner_with_words_for_both(served: Served):
    quotas = [{"project": "default", "accelerators": 1}, {"project": "lab", "accelerators": 2, "lend_percent": 100}]
    await served.ok("PATCH", "/pools/default", {"quotas": quotas})
    status, message, _ = await served.refused(
        "POST", "/services", {"name": "web", "spec": {"model": "demo", "replicas": 3, "compute": {"vendor": "nvidia"}}}
    )
    assert status == 422
    assert "may hold 1 accelerator" in message
    assert (await served.ok("PATCH", "/pools/default", {"borrowing": True}))["borrowing"] is True
    await publish(served, "web", None, replicas=3)
    await served.platform.passes()
    uses = {item["quota"]["project"]: item for item in (await served.ok("GET", "/pools/default/view"))["quotas"]}
    assert uses["default"]["borrowed"]["accelerators"] == 2
    assert uses["lab"]["lendable"]["accelerators"] == 2
    await publish(served, "own", None, project="lab", replicas=2)
    await served.platform.passes(30)
    assert (await served.ok("GET", "/services/own"))["replicas_ready"] == 2
    shown = await served.ok("GET", "/services/web")
    assert shown["replicas_ready"] == 1
    assert {item["reason"] for item in shown["conditions"] if item["type"] == "Preempted"} == {"Borrowed"}
    assert any("which another project needs itself now" in text for text in await texts(served, "service.preempted"))


async def test_memory_is_promised_more_than_once_by_policy_alone_and_where_it_can_be(served: Served):
    await served.ok("POST", "/pools", {"name": "empty"})
    status, message, hint = await served.refused("PATCH", "/pools/empty", {"memory_oversubscription": 1.5})
    assert status == 422
    assert "cannot be promised more than once in pool empty" in message
    assert "interposer" in hint
    assert (await served.call("PATCH", "/pools/default", {"memory_oversubscription": 3}))[0] == 422
    pool = await served.ok("PATCH", "/pools/default", {"memory_oversubscription": 2})
    assert pool["memory_oversubscription"] == 2
    compute = {"vendor": "nvidia", "slice": {"compute_percent": 10, "memory_bytes": 40 * GIB}}
    await served.ok("POST", "/services", {"name": "fat", "spec": {"model": "demo", "replicas": 4, "compute": compute}})
    await served.platform.passes()
    assert (await served.ok("GET", "/services/fat"))["replicas_ready"] == 4
    view = await served.ok("GET", "/pools/default/view")
    cards = [device for device in view["nodes"][0]["devices"] if device["vendor"] == "nvidia"]
    cards = [device for device in cards if device["shares"]]
    assert [len(device["shares"]) for device in cards] == [2, 2]
    assert {share["rounding"] for device in cards for share in device["shares"]} == {
        "the pool promises memory up to 2 times"
    }
    assert all(0 < device["free_memory_bytes"] < 20 * GIB for device in cards)
    # lowered again: what runs goes on, and nothing more is promised
    await served.ok("PATCH", "/pools/default", {"memory_oversubscription": 1})
    await served.platform.passes()
    assert (await served.ok("GET", "/services/fat"))["replicas_ready"] == 4
    status, message, _ = await served.refused("PATCH", "/services/fat", {"replicas": 8})
    assert status == 422
