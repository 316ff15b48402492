"""Requests of a batch at the gateway: what is waited for, what is tried again, what is given up."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from tests.support.clock import FakeClock

from aicp.reconcile.batch_calls import GatewayCalls, KeyEndedError, Room
from aicp.reconcile.batch_lines import BatchLine, Outcome
from aicp.security.passes import read_pass

PEPPER = bytes(32)
BODY = b'{"model":"demo"}'
LINE = BatchLine(1, "a", 100, lambda: BODY)
Answer = httpx.Response | Exception


class Bench:
    """Calls against answers that a test gives in order; the last one stays."""

    def __init__(self, *answers: Answer, requests: int = 8) -> None:
        self.answers, self.clock, self.slept = list(answers), FakeClock(), list[float]()
        self.asked: list[httpx.Request] = []
        client = httpx.AsyncClient(transport=httpx.MockTransport(self._answer), base_url="http://gateway")
        self.calls = GatewayCalls(client, PEPPER, self.clock, Room(requests), self._sleep)
        self.brake = self.calls.brake()

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.advance(seconds)
        await asyncio.sleep(0)

    async def call(self) -> Outcome:
        return await self.calls.call("key_abc", "/v1/chat/completions", LINE, "b.1", self.brake)


def busy(status: int = 429, after: str = "7") -> httpx.Response:
    headers = {"retry-after": after} if after else {}
    return httpx.Response(status, headers=headers, json={"error": {"message": "Slow down."}})


OK = httpx.Response(200, json={"ok": True}, headers={"x-request-id": "req_1"})


async def test_a_request_goes_in_class_batch_with_a_pass_for_the_key() -> None:
    bench = Bench(OK)
    assert await bench.call() == Outcome(200, OK.content, "req_1")
    request = bench.asked[0]
    assert request.headers["x-priority"] == "batch"
    assert request.content == BODY
    found = read_pass(PEPPER, request.headers["authorization"].removeprefix("Bearer "))
    assert found is not None
    assert found[0] == "key_abc"
    assert 600 <= found[1] - bench.clock.now().timestamp() <= 900


@pytest.mark.parametrize("status", [429, 503])
async def test_to_be_told_to_wait_is_no_failed_try(status: int) -> None:
    bench = Bench(*[busy(status)] * 50, OK)
    assert (await bench.call()).status == 200
    assert bench.slept == [7.0] * 50


async def test_a_wait_of_hours_is_asked_again_sooner_and_one_without_a_time_later() -> None:
    bench = Bench(busy(after="40000"), busy(after=""), OK)
    assert (await bench.call()).status == 200
    assert bench.slept == [900.0, 2.0]


async def test_a_gateway_that_is_away_is_waited_for() -> None:
    bench = Bench(*[httpx.ConnectError("refused")] * 20, OK)
    assert (await bench.call()).status == 200


@pytest.mark.parametrize("status", [200, 400, 404, 413])
async def test_an_answer_is_taken_as_it_is(status: int) -> None:
    bench = Bench(httpx.Response(status, json={}))
    assert (await bench.call()).status == status
    assert len(bench.asked) == 1


async def test_a_failing_engine_is_tried_four_times() -> None:
    bench = Bench(httpx.Response(502, json={}))
    outcome = await bench.call()
    assert (outcome.status, outcome.answered, len(bench.asked)) == (502, False, 4)
    lost = Bench(httpx.ReadError("gone"))
    assert (await lost.call()).error is not None
    assert len(lost.asked) == 4


async def test_a_key_that_ended_ends_the_batch() -> None:
    with pytest.raises(KeyEndedError):
        await Bench(httpx.Response(401, json={})).call()


async def test_after_a_refusal_fewer_go_on_together() -> None:
    """A limit of so many a minute: what is refused is a small part of what is asked."""
    bench = Bench(OK, requests=64)
    minute: dict[int, int] = {}

    async def limited(request: httpx.Request) -> httpx.Response:
        now = int(bench.clock.monotonic() // 60)
        minute[now] = minute.get(now, 0) + 1
        bench.asked.append(request)
        return OK if minute[now] <= 10 else busy(after=str(60 - int(bench.clock.monotonic() % 60)))

    client = httpx.AsyncClient(transport=httpx.MockTransport(limited), base_url="http://gateway")
    bench.calls = GatewayCalls(client, PEPPER, bench.clock, Room(64), bench._sleep)
    bench.brake = bench.calls.brake()
    outcomes = await asyncio.gather(*(bench.call() for _ in range(200)))
    assert {outcome.status for outcome in outcomes} == {200}
    assert len(bench.asked) < 200 + 64 + 200 // 2, "the first wave, and then a few a minute"


async def test_the_room_bounds_requests_and_bytes_and_lets_a_large_one_go_alone() -> None:
    room, inside, most = Room(3, held_bytes=100), list[int](), list[tuple[int, int]]()

    async def take(size: int) -> None:
        async with room.place(size):
            inside.append(size)
            most.append((len(inside), sum(inside)))
            await asyncio.sleep(0)
            inside.remove(size)

    await asyncio.gather(*(take(size) for size in [10, 60, 60, 500, 10, 10, 10, 10]))
    assert all(count <= 3 and (total <= 100 or count == 1) for count, total in most)
    assert len(most) == 8
