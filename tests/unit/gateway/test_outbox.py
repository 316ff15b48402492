"""Writes that wait until all that has arrived is dealt with."""

from __future__ import annotations

import asyncio

from aicp.gateway.outbox import Outbox


class Way:
    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.closing = False

    def is_closing(self) -> bool:
        return self.closing

    def write(self, data: bytes) -> None:
        self.got.append(data)


async def test_what_is_put_goes_out_in_order_once_the_present_callback_has_ended() -> None:
    outbox, one, other = Outbox(), Way(), Way()
    outbox.put(one, b"a")
    outbox.put(other, b"b")
    outbox.put(one, b"c")
    assert not one.got
    assert not other.got
    await asyncio.sleep(0)
    assert one.got == [b"a", b"c"]
    assert other.got == [b"b"]


async def test_what_is_flushed_before_a_close_is_not_sent_again() -> None:
    outbox, way = Outbox(), Way()
    outbox.put(way, b"last words")
    outbox.flush()
    await asyncio.sleep(0)
    assert way.got == [b"last words"]


async def test_a_connection_that_has_closed_gets_nothing_and_holds_nobody_up() -> None:
    outbox, closed, open_ = Outbox(), Way(), Way()
    outbox.put(closed, b"a")
    outbox.put(open_, b"b")
    closed.closing = True
    await asyncio.sleep(0)
    assert not closed.got
    assert open_.got == [b"b"]


async def test_what_is_written_while_it_flushes_goes_out_too() -> None:
    outbox, way = Outbox(), Way()

    class Answering(Way):
        def write(self, data: bytes) -> None:
            outbox.put(way, b"answer to " + data)

    outbox.put(Answering(), b"a")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert way.got == [b"answer to a"]


async def test_a_connection_that_fails_holds_nobody_up() -> None:
    class Broken(Way):
        def write(self, data: bytes) -> None:
            raise RuntimeError("the handler is closed")

    outbox, other = Outbox(), Way()
    outbox.put(Broken(), b"a")
    outbox.put(other, b"b")
    await asyncio.sleep(0)
    assert other.got == [b"b"]


async def test_what_goes_at_once_waits_for_nothing_where_nothing_waits() -> None:
    outbox, way = Outbox(), Way()
    outbox.at_once(way, b"a")
    assert way.got == [b"a"]


async def test_what_goes_at_once_keeps_behind_what_waits() -> None:
    outbox, way = Outbox(), Way()
    outbox.put(way, b"a")
    outbox.at_once(way, b"b")
    assert not way.got
    await asyncio.sleep(0)
    assert way.got == [b"a", b"b"]


async def test_what_a_write_leads_to_keeps_behind_what_is_being_sent() -> None:
    outbox, way = Outbox(), Way()

    class Answering(Way):
        def write(self, data: bytes) -> None:
            outbox.at_once(way, b"answer to " + data)

    outbox.put(Answering(), b"a")
    outbox.put(way, b"before it")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert way.got == [b"before it", b"answer to a"]
