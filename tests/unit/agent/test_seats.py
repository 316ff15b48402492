"""What a member is told of itself and the others."""

from __future__ import annotations

import pytest

from aicp.agent.seats import mark_of, seat_values
from aicp.core.errors import UnavailableError
from aicp.core.launch import GroupSeat


def seat(host: str, leader: str = "10.0.0.1") -> GroupSeat:
    return GroupSeat(rank=1, leader=leader, port=29500, host=host)


def test_a_name_of_this_machine_becomes_its_address_and_interface() -> None:
    values = seat_values(seat("localhost", "127.0.0.1"))
    assert values["interface"] == "lo"
    assert values["address"] in ("127.0.0.1", "::1")
    assert (values["leader"], values["rank"], values["group_port"]) == ("127.0.0.1", "1", "29500")
    assert seat_values(None) == {}


def test_an_address_that_no_interface_has_is_refused_with_what_to_do() -> None:
    with pytest.raises(UnavailableError, match=r"has the address 192\.0\.2\.77") as refused:
        seat_values(seat("192.0.2.77"))
    assert "--address" in str(refused.value.hint)


def test_a_name_that_nobody_knows_is_told() -> None:
    with pytest.raises(UnavailableError, match=r"leader\.invalid"):
        seat_values(seat("127.0.0.1", "leader.invalid"))


def test_two_members_on_one_machine_are_told_apart() -> None:
    assert mark_of("rep_1", None) == "rep_1"
    assert len({mark_of("rep_1", GroupSeat(rank=rank, leader="l", port=1, host="h")) for rank in range(3)}) == 3
