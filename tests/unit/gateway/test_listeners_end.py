"""A process that another one has taken over from opens no listener any more."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from aicp.core.route import ListenerEntry
from aicp.gateway.doors import Doors
from aicp.gateway.listeners import Listeners
from aicp.gateway.routes import Table

ENTRY = ListenerEntry("chat", "127.0.0.1", 9443)


class FakeDoors:
    def __init__(self) -> None:
        self.opened: list[Any] = []
        self.closed: list[Any] = []
        self.on_open: Any = None

    async def open(self, address: Any, factory: Any, tls: Any) -> None:
        self.opened.append(address)
        if self.on_open is not None:
            self.on_open()

    def close(self, address: Any) -> None:
        self.closed.append(address)


def made() -> tuple[FakeDoors, Listeners]:
    doors = FakeDoors()
    listeners = Listeners(cast(Doors, doors), lambda model: cast(Any, None), [])
    listeners.follow(cast(Table, SimpleNamespace(listeners=[ENTRY])))
    return doors, listeners


async def test_it_opens_nothing_after_its_end() -> None:
    doors, listeners = made()
    listeners.end()
    await listeners.settle()
    assert (doors.opened, listeners.states()) == ([], {})


async def test_one_that_opens_just_then_is_closed_again() -> None:
    doors, listeners = made()
    doors.on_open = listeners.end
    await listeners.settle()
    assert doors.closed == [("127.0.0.1", 9443)]
    assert listeners.states() == {}
