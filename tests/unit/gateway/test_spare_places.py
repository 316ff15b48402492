"""The last places of a large route: kept from keys that have their share already, as long as others come."""

from __future__ import annotations

from tests.support.admission_world import World

from aicp.core.route import KeyEntry


def world(places: int = 100) -> World:
    return World(places, [KeyEntry(name, name, "p", weight=weight) for name, weight in (("a", 1.0), ("b", 1.0))])


def taken(of: World) -> int:
    return len(of.running)


def test_a_key_that_is_alone_may_have_every_place() -> None:
    alone = world()
    for n in range(101):
        alone.enter(str(n), key="a")
    assert taken(alone) == 100


def test_beside_a_flood_a_key_with_few_requests_finds_a_place_at_once() -> None:
    busy = world()
    busy.enter("first", key="b").end()
    for n in range(150):
        busy.enter(str(n), key="a")
    assert taken(busy) == 98, "two of a hundred are kept"
    assert busy.enter("second", key="b").running
    assert busy.enter("third", key="b").running
    assert not busy.enter("fourth", key="b").running


def test_a_key_under_its_share_goes_first_when_places_come_free() -> None:
    busy = world()
    busy.enter("first", key="b").end()
    for n in range(150):
        busy.enter(f"a{n}", key="a")
    for n in range(3):
        busy.enter(f"b{n}", key="b")
    busy.running[0].end(1, 1)
    assert busy.order[-1] == "b2"
    busy.running[0].end(1, 1)
    busy.running[0].end(1, 1)
    assert taken(busy) == 98, "the kept places fill up again before the flood goes on"
    busy.running[0].end(1, 1)
    assert busy.order[-1].startswith("a")


def test_the_kept_places_are_given_away_once_nobody_else_came_for_a_minute() -> None:
    busy = world()
    busy.enter("first", key="b").end()
    for n in range(150):
        busy.enter(str(n), key="a")
    busy.pass_by(61.0)
    busy.running[0].end(1, 1)
    assert taken(busy) == 100


def test_two_keys_with_their_shares_may_use_all_places_together() -> None:
    busy = world()
    busy.enter("first", key="b").end()
    for n in range(50):
        busy.enter(f"a{n}", key="a")
        busy.enter(f"b{n}", key="b")
    assert taken(busy) == 100


def test_a_small_route_keeps_none() -> None:
    small = world(49)
    small.enter("first", key="b").end()
    for n in range(60):
        small.enter(str(n), key="a")
    assert taken(small) == 49
