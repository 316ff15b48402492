"""Rules, bodies and requests as they are kept."""

from __future__ import annotations

import zlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, event
from tests.support.clock import FakeClock

from aicp.core.errors import InvalidError
from aicp.core.request_log import Bodies, BodyRecord, Redactor, RequestLogRule, RequestQuery
from aicp.core.route import RequestLogEntry
from aicp.core.usage import Outcome, UsageBatch, UsageRecord
from aicp.reconcile.request_bodies import Retention
from aicp.store import requests
from aicp.store.database import Database
from aicp.store.organizations import Organizations
from aicp.store.projects import Projects
from aicp.store.request_bodies import RequestBodies
from aicp.store.request_log import RequestLogRules
from aicp.store.requests import Requests
from aicp.store.usage import Usage

AT = datetime(2026, 1, 5, 12, 30, tzinfo=UTC)


def usage(name: str, **changes: Any) -> UsageRecord:
    values: dict[str, Any] = {
        "request_id": name,
        "api_key_id": "key_1",
        "project": "shop",
        "service": "demo",
        "endpoint": "/v1/chat/completions",
        "started_at": AT,
        "outcome": Outcome.OK,
        "status": 200,
    }
    return UsageRecord(**values | changes)


def bodies(name: str, project: str = "shop", at: datetime = AT) -> BodyRecord:
    record = BodyRecord(
        request_id=name,
        api_key_id="key_1",
        project=project,
        service="demo",
        started_at=at,
        outcome=Outcome.OK,
        request_kind="application/json",
        request_bytes=99,
        request_cut=True,
        answer_kind="audio/wav",
        answer_bytes=7,
    )
    return record.model_copy(update={"request": zlib.compress('{"é":1}'.encode())})


def rule(project: str = "shop", **changes: Any) -> RequestLogRule:
    return RequestLogRule(**{"project": project, "bodies": Bodies.ALL, "set_at": AT, "set_by": "ann"} | changes)


async def set_up(database: Database, *projects: str) -> None:
    async with database.transaction() as tx:
        await Organizations(tx).create("default", AT)
        for project in projects:
            await Projects(tx).create(project, "default", "", AT)


async def test_rules_are_kept_and_gateways_see_those_that_keep_something(database: Database) -> None:
    await set_up(database, "shop", "lab", "off", "none")
    mine = rule(redact=[Redactor.SECRETS, Redactor.EMAILS], patterns=["EMP-[0-9]{4}"], share=0.5)
    async with database.transaction() as tx:
        for one in (rule("lab"), rule("off", bodies=Bodies.OFF), rule("none", share=0.0), rule(), mine):
            await RequestLogRules(tx).set(one)
    async with database.snapshot() as tx:
        assert await RequestLogRules(tx).find("shop") == mine
        entries = await RequestLogRules(tx).entries()
        page = await RequestLogRules(tx).list(projects=["shop", "off"])
    assert set(entries) == {"shop", "lab"}
    assert entries["shop"] == RequestLogEntry("all", 0.5, ["secrets", "emails"], ["EMP-[0-9]{4}"], 65536)
    assert ([one.project for one in page.items], page.total) == (["off", "shop"], 2)
    async with database.transaction() as tx:
        await Projects(tx).delete("shop")
    async with database.snapshot() as tx:
        assert await RequestLogRules(tx).find("shop") is None


async def test_bodies_are_kept_once_and_read_as_they_were(database: Database) -> None:
    async with database.transaction() as tx:
        await RequestBodies(tx).add([bodies("req_1"), bodies("req_2")])
        await RequestBodies(tx).add([bodies("req_1", "other"), bodies("req_\0" + "x" * 200)])
        await RequestBodies(tx).add([])
    async with database.snapshot() as tx:
        found = await RequestBodies(tx).find("req_1")
        assert await RequestBodies(tx).find("req_9") is None
    assert found is not None
    request, answer = found
    assert (request.text, request.bytes, request.cut) == ('{"é":1}', 99, True)
    assert (answer.text, answer.kind, answer.bytes, answer.cut) == (None, "audio/wav", 7, False)


async def test_bodies_go_when_their_retention_ends_in_small_batches(database: Database, clock: FakeClock) -> None:
    await set_up(database, "shop", "lab")
    now = clock.now()
    async with database.transaction() as tx:
        await RequestLogRules(tx).set(rule("shop", retention_days=2))
        await RequestLogRules(tx).set(rule("lab", retention_days=30, bodies=Bodies.OFF))
        for project in ("shop", "lab", "gone"):
            made = [bodies(f"{project}_{days}", project, now - timedelta(days=days, hours=1)) for days in range(7)]
            await RequestBodies(tx).add(made)
    retention = Retention(database, clock, at_once=2)
    assert await retention.once() == 5 + 7
    assert await retention.once() == 0
    clock.advance(timedelta(days=29).total_seconds())
    assert await retention.once() == 2 + 6
    async with database.snapshot() as tx:
        names = [f"{project}_{days}" for project in ("shop", "lab", "gone") for days in range(7)]
        left = [name for name in names if await RequestBodies(tx).find(name)]
    assert left == ["lab_0"]


async def test_requests_are_found_by_what_is_known_of_them(database: Database) -> None:
    records = [
        usage("req_1"),
        usage("mine.req_2", project="lab", api_key_id="key_2", started_at=AT + timedelta(seconds=1)),
        usage("req_3", outcome=Outcome.REJECTED, status=429, service="", started_at=AT + timedelta(seconds=2)),
        usage("req_4", outcome=Outcome.CANCELED, status=499, started_at=AT + timedelta(seconds=2)),
    ]
    async with database.transaction() as tx:
        await Usage(tx).accept(UsageBatch(gateway_id="gw", sequence=1, records=records), AT)
        await RequestBodies(tx).add([bodies("req_3")])

    async def found(projects: set[str] | None = None, **which: Any) -> list[str]:
        async with database.snapshot() as tx:
            page = await Requests(tx).page(RequestQuery(**which), projects=projects)
        return [item.request_id for item in page.items]

    assert await found() == ["req_4", "req_3", "mine.req_2", "req_1"]
    assert await found({"lab"}) == ["mine.req_2"]
    assert await found({"lab"}, project="shop") == []
    assert await found(failed=True) == ["req_3"]
    assert await found(with_body=True) == ["req_3"]
    assert await found(status=499) == ["req_4"]
    assert await found(outcome=Outcome.OK, api_key_id="key_2") == ["mine.req_2"]
    assert await found(request_id="mine.") == ["mine.req_2"]
    assert await found(request_id="req%") == []
    assert await found(since=AT + timedelta(seconds=1), until=AT + timedelta(seconds=2)) == ["mine.req_2"]
    assert await found(service="demo", project="shop") == ["req_4", "req_1"]
    assert await found(tag="team=shop") == []
    async with database.snapshot() as tx:
        one = await Requests(tx).find("req_3")
        assert one is not None
        assert (one.has_body, one.status) == (True, 429)
        assert await Requests(tx).find("req_9") is None


async def test_pages_go_on_where_the_last_one_ended_whatever_comes_in(database: Database) -> None:
    async with database.transaction() as tx:
        old = [usage(f"req_{n}", started_at=AT + timedelta(seconds=n // 2)) for n in range(7)]
        await Usage(tx).accept(UsageBatch(gateway_id="gw", sequence=1, records=old), AT)
    seen: list[str] = []
    before: str | None = None
    for turn in range(4):
        async with database.transaction() as tx:
            page = await Requests(tx).page(RequestQuery(), before=before, limit=2)
            more = [usage(f"new_{turn}", started_at=AT + timedelta(hours=1))]
            await Usage(tx).accept(UsageBatch(gateway_id="gw", sequence=2 + turn, records=more), AT)
        seen += [item.request_id for item in page.items]
        before = page.next
    assert seen == [f"req_{n}" for n in range(6, -1, -1)]
    assert before is None


@pytest.mark.parametrize("many", [1, 1000])
async def test_an_id_or_its_beginning_finds_what_one_may_see(
    database: Database, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "_MANY", many)
    names = {"word": "lab", "word.a": "shop", "word.b": "lab", "WORD.c": "shop", "worc": "shop", "wore": "shop"}
    async with database.transaction() as tx:
        records = [usage(name, project=project) for name, project in names.items()]
        await Usage(tx).accept(UsageBatch(gateway_id="gw", sequence=1, records=records), AT)

    async def found(beginning: str, projects: set[str] | None = None) -> list[str]:
        async with database.snapshot() as tx:
            page = await Requests(tx).page(RequestQuery(request_id=beginning), projects=projects)
        return [item.request_id for item in page.items]

    assert await found("word") == ["word"]
    assert await found("word", {"shop"}) == ["word.a"], "an id that one may not see hides nothing"
    assert await found("word.") == ["word.b", "word.a"]
    assert await found("word.", {"lab"}) == ["word.b"]
    assert await found("word_") == await found("word%") == await found("none") == []


async def test_a_page_goes_on_only_from_what_one_may_see(database: Database) -> None:
    async with database.transaction() as tx:
        records = [usage("req_1"), usage("req_2", project="lab")]
        await Usage(tx).accept(UsageBatch(gateway_id="gw", sequence=1, records=records), AT)
    async with database.snapshot() as tx:
        assert (await Requests(tx).page(RequestQuery(), projects={"shop"}, before="req_1")).items == []
        told = []
        for before in ("req_2", "req_9"):
            with pytest.raises(InvalidError) as caught:
                await Requests(tx).page(RequestQuery(), projects={"shop"}, before=before)
            told.append(str(caught.value).replace(before, ""))
    assert told[0] == told[1]


@pytest.mark.parametrize("which", [{}, {"project": "shop"}, {"api_key_id": "key_1"}, {"since": AT}])
async def test_the_beginning_of_an_id_is_looked_up_in_an_index(sqlite: Database, which: dict[str, Any]) -> None:
    statements: list[tuple[str, Any]] = []

    def note(connection: object, cursor: object, statement: str, values: Any, *_: object) -> None:
        statements.append((statement, values))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        async with sqlite.snapshot() as tx:
            await Requests(tx).page(RequestQuery(request_id="word.", **which))
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    query, values = statements[-1]
    async with sqlite.snapshot() as tx:
        connection = await tx.session.connection()
        plan = (await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", values)).all()
    assert any("(request_id>? AND request_id<?)" in row[-1] for row in plan), plan
