"""A gateway from a file: what it refuses, what it takes up while it runs, and that it counts once."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.clock import FakeClock
from tests.support.gateway_process import free_port, until
from tests.support.http_wire import Answer, Asked, read_answer, request
from tests.support.openai_engine import Engine, Wire, answer_normally, run_engine
from tests.support.web_server import answer as picture_answer
from tests.support.web_server import run_web_server

from aicp.core.errors import InvalidError
from aicp.core.route import ArmEntry, ChoiceEntry, LimitsEntry, PriceEntry, RouteTable
from aicp.gateway.books import Books
from aicp.gateway.file_config import read_config, table_of
from aicp.security.keys import make_key

CHAT: dict[str, Any] = {"model": "demo", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 3}
PEPPER = b"p" * 32
RECORD = b'{"api_key_id":"k","project":"p","started_at":"2026-01-05T11:00:00Z","prompt_tokens":%d}'
UP: dict[str, Any] = {"name": "a", "upstreams": []}
LEADS: dict[str, Any] = {"name": "b", "arms": [{"route": "a"}]}
GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "stand-alone-gateway.md"


def _hear_hangups() -> None:
    """Whoever started the tests may have had SIGHUP ignored, which is inherited."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@dataclass
class StandAlone:
    """The process, its file and its key."""

    folder: Path
    engine: Engine
    port: int = field(default_factory=free_port)
    key: str = field(default_factory=lambda: make_key().secret)
    process: asyncio.subprocess.Process | None = None

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def write(self, **more: Any) -> None:
        document: dict[str, Any] = {
            "listen": {"port": self.port},
            "routes": [{"name": "demo", "model": "inner", "upstreams": [{"address": "${ENGINE}", "token": "t"}]}],
            "keys": [{"secret": "${KEY}", "project": "shop", **more.pop("key", {})}],
        }
        unfinished = self.folder / "new.yaml"
        unfinished.write_text(yaml.safe_dump(document | more))
        unfinished.replace(self.folder / "gateway.yaml")

    async def start(self) -> None:
        environment = os.environ | {"ENGINE": self.engine.address, "KEY": self.key}
        command = [sys.executable, "-m", "aicp.cli.app", "gateway", "--config", str(self.folder / "gateway.yaml")]
        with (self.folder / "log").open("a") as log:
            self.process = await asyncio.create_subprocess_exec(
                *command, env=environment, stderr=log, stdout=log, preexec_fn=_hear_hangups
            )
        async with asyncio.timeout(20):
            while not await self._serves():
                assert self.process.returncode is None, self.log
                await asyncio.sleep(0.02)

    async def _serves(self) -> bool:
        try:
            return (await self.ask("/v1/models", method="GET")).status != 503
        except OSError:
            return False

    async def ask(self, path: str = "/v1/chat/completions", body: Any = b"", *, method: str = "POST") -> Answer:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request(method, path, body, key=self.key))
            return await asyncio.wait_for(read_answer(reader), 20)
        finally:
            writer.close()

    async def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), 40)

    def records(self) -> list[dict[str, Any]]:
        files = sorted((self.folder / "gateway-data").rglob("usage-????-??.jsonl"))
        lines = [json.loads(line) for path in files for line in path.read_text().splitlines()]
        return [line for line in lines if "batch" not in line]


@pytest.fixture
async def alone(tmp_path: Path) -> AsyncIterator[StandAlone]:
    async with run_engine(tmp_path / "e.sock") as engine:
        gateway = StandAlone(tmp_path, engine)
        gateway.write()
        await gateway.start()
        yield gateway
        await gateway.stop(signal.SIGKILL)


async def test_a_file_is_enough(alone: StandAlone) -> None:
    answer = await alone.ask(body=CHAT)
    assert (answer.status, answer.json()["model"]) == (200, "demo")
    assert alone.engine.asked[-1].headers["authorization"] == "Bearer t"
    assert alone.engine.asked[-1].json()["model"] == "inner"
    assert await alone.stop() == 0
    (record,) = alone.records()
    assert (record["project"], record["outcome"], record["prompt_tokens"]) == ("shop", "ok", 7)


async def test_two_files_with_one_coordinator_have_one_limit(tmp_path: Path) -> None:
    async with run_engine(tmp_path / "e.sock") as engine:
        (tmp_path / "a").mkdir()
        (tmp_path / "b").mkdir()
        one = StandAlone(tmp_path / "a", engine)
        two = StandAlone(tmp_path / "b", engine, key=one.key)
        try:
            for gateway in (one, two):
                gateway.write(coordinator=f"file:{tmp_path / 'shared'}", key={"limits": {"rpm": 5}})
                await gateway.start()
            answers = [await (one, two)[number % 2].ask(body=CHAT) for number in range(8)]
            assert [answer.status for answer in answers] == [200] * 5 + [429] * 3
            left = [answer.headers["x-ratelimit-remaining-requests"] for answer in answers]
            assert left == ["4", "3", "2", "1", "0", "0", "0", "0"]
        finally:
            for gateway in (one, two):
                await gateway.stop(signal.SIGKILL)


def test_a_coordinator_that_is_none_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text("routes: []\nkeys: []\ncoordinator: http://redis:6379\n")
    with pytest.raises(InvalidError, match="coordinator"):
        read_config(file, {})


async def test_media_are_fetched_where_the_file_allows_it(tmp_path: Path) -> None:
    async with run_web_server() as web, run_engine(tmp_path / "e.sock") as engine:
        web.replies["/a.png"] = picture_answer()
        part = {"type": "image_url", "image_url": {"url": web.url("/a.png")}}
        picture = CHAT | {"messages": [{"role": "user", "content": [part]}]}
        refused = (400, "url_not_allowed")
        for media, outcome in (
            ({"allowed_networks": ["127.0.0.1"]}, (200, None)),
            ({}, refused),
            ({"fetch": False}, refused),
        ):
            gateway = StandAlone(tmp_path, engine)
            gateway.write(media=media)
            await gateway.start()
            got = await gateway.ask(body=picture)
            await gateway.stop()
            assert (got.status, got.json().get("error", {}).get("code")) == outcome
        assert len(web.asked) == len(engine.asked) == 1


async def test_files_and_batches_are_the_platform_s(alone: StandAlone) -> None:
    for method, path in (("GET", "/v1/files"), ("POST", "/v1/batches")):
        answer = await alone.ask(path, {"input_file_id": "file_1"} if method == "POST" else b"", method=method)
        assert (answer.status, answer.json()["error"]["code"]) == (404, "not_supported")


async def test_a_changed_file_is_taken_up_and_a_wrong_one_left_aside(alone: StandAlone) -> None:
    async def refused() -> bool:
        return (await alone.ask(body=CHAT)).status == 429

    async def comes(wanted: bool) -> None:
        for _ in range(200):
            if await refused() is wanted:
                return
            await asyncio.sleep(0.05)
        pytest.fail(f"the file of {wanted=} is not in use")

    alone.write(key={"limits": {"rpm": 1}})
    await comes(True)
    alone.write(routes=[{"nmae": "demo"}])
    await until(lambda: "the changed file is left aside" in alone.log)
    assert "nmae" in alone.log
    assert await refused()
    alone.write()
    await comes(False)


async def test_usage_is_written_once_and_a_quota_holds_over_kill_9(alone: StandAlone) -> None:
    alone.write(key={"limits": {"tokens_per_day": 100}})
    served = 0
    async with asyncio.timeout(60):
        while (answer := await alone.ask(body=CHAT)).status == 200:
            served += 1
            if served % 3 == 0:
                await alone.stop(signal.SIGKILL)
                await alone.start()
    assert answer.json()["error"]["code"] == "insufficient_quota"
    await alone.stop()
    finished = [record for record in alone.records() if record["outcome"] == "ok"]
    assert len(finished) == len({record["request_id"] for record in finished}) == served


async def test_a_cache_of_the_file_answers_and_is_emptied_by_another_generation(alone: StandAlone) -> None:
    async def how() -> str:
        return (await alone.ask(body=CHAT | {"temperature": 0})).headers.get("x-aicp-cache", "none")

    rule = {"model": "demo", "project": "shop"}
    assert await how() == "none"
    alone.write(caches=[rule])
    async with asyncio.timeout(15):
        for _ in count():
            if await how() != "none":
                break
            await asyncio.sleep(0.05)
    assert await how() == "exact"
    alone.write(caches=[rule | {"generation": 2}])
    async with asyncio.timeout(15):
        for _ in count():
            if await how() == "miss":
                break
            await asyncio.sleep(0.05)
    assert await how() == "exact"


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR2])
async def test_a_restart_cuts_no_stream_and_its_pid_stays(alone: StandAlone, number: int) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def held(wire: Wire, asked: Asked) -> None:
        begun.set()
        await go_on.wait()
        await answer_normally(wire, asked)

    alone.write(key={"limits": {"tokens_per_day": 1000}})
    assert (await alone.ask(body=CHAT)).status == 200
    alone.engine.script = held
    waiting = asyncio.ensure_future(alone.ask(body=CHAT | {"stream": True}))
    await begun.wait()
    assert alone.process is not None
    alone.process.send_signal(number)
    await until(lambda: "in the place of process" in alone.log, 20)
    alone.engine.script = answer_normally
    assert (await alone.ask(body=CHAT)).status == 200
    go_on.set()
    answer = await waiting
    assert (answer.status, answer.body.rstrip().endswith(b"[DONE]")) == (200, True)
    assert alone.process.returncode is None
    assert await alone.stop() == 0
    records = alone.records()
    assert [record["outcome"] for record in records] == ["ok"] * 3
    assert len({record["request_id"] for record in records}) == 3


async def test_a_restart_with_a_wrong_file_changes_nothing(alone: StandAlone) -> None:
    assert alone.process is not None
    (alone.folder / "gateway.yaml").write_text("routes: nothing")
    alone.process.send_signal(signal.SIGHUP)
    await until(lambda: "the present one goes on" in alone.log, 20)
    assert (await alone.ask(body=CHAT)).status == 200


async def test_books_count_what_other_processes_write(tmp_path: Path, clock: FakeClock) -> None:
    def books_of(place: Path) -> Books:
        return Books(place, tmp_path / "gateway.yaml", lambda: RouteTable("1", ""), clock, home=tmp_path)

    (tmp_path / "2").mkdir()
    former = books_of(tmp_path)
    await former.usage("gw_1", 1, [RECORD % 5])
    successor = books_of(tmp_path / "2")
    assert (await successor.totals("gw_2")).scopes["key:k"].day == 5
    await former.usage("gw_1", 2, [RECORD % 6])
    await successor.usage("gw_2", 1, [RECORD % 7])
    for books, sequence in ((former, 2), (successor, 1)):
        totals = await books.totals("")
        assert (totals.scopes["key:k"].day, totals.sequence) == (18, sequence)


async def test_a_price_and_a_budget_of_the_file_hold_over_kill_9(alone: StandAlone) -> None:
    route = {"name": "demo", "model": "inner", "upstreams": [{"address": "${ENGINE}"}]}
    price = {"input": "0.5", "cached_input": 0.25, "output": 100}
    alone.write(routes=[route | {"price": price}], key={"limits": {"budget_per_day": 0.0015}}, currency="TWD")
    served = 0
    async with asyncio.timeout(60):
        while (answer := await alone.ask(body=CHAT)).status == 200:
            served += 1
            if served % 2 == 0:
                await alone.stop(signal.SIGKILL)
                await alone.start()
    error = answer.json()["error"]
    assert (error["code"], "may spend 0.0015 TWD a day" in error["message"]) == ("insufficient_quota", True)
    await alone.stop()
    costs = {record["request_id"]: record.get("cost_micros") for record in alone.records() if record["outcome"] == "ok"}
    assert len(costs) == served
    assert costs.popitem()[1] == 303, "3 x 0.5 + 4 x 0.25 + 3 x 100, rounded"


async def test_a_batch_whose_writing_outlives_its_task_is_written_once(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, release = threading.Event(), threading.Event()

    def slow(descriptor: int) -> None:
        begun.set()
        assert release.wait(20)

    monkeypatch.setattr("aicp.gateway.books.os.fsync", slow)
    books = Books(tmp_path, tmp_path / "gateway.yaml", lambda: RouteTable("1", ""), clock)
    first = asyncio.ensure_future(books.usage("gw", 1, [RECORD % 5]))
    await until(begun.is_set)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    again = asyncio.ensure_future(books.usage("gw", 1, [RECORD % 5]))
    await asyncio.sleep(0)
    release.set()
    await again
    (path,) = tmp_path.glob("usage-*.jsonl")
    assert path.read_bytes() == RECORD % 5 + b'\n{"batch":1}\n'
    assert (await books.totals("gw")).scopes["key:k"].day == 5


async def test_a_batch_written_twice_counts_once_and_an_unsound_line_costs_itself_alone(
    tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "usage-2026-01.jsonl"
    lines = [RECORD % 5, b'{"batch":1}', RECORD % 5, b'{"batch":1}', RECORD % 6, b"\0\xff", RECORD % 7, b'{"batch":2}']
    whole = b"".join(b"%b\n" % line for line in lines)
    path.write_bytes(whole + b"{\n")
    books = Books(tmp_path, tmp_path / "gateway.yaml", lambda: RouteTable("1", ""), clock)
    totals = await books.totals("gw")
    assert (totals.sequence, totals.scopes["key:k"].day) == (2, 18)
    assert path.read_bytes() == whole
    assert "1 lines of" in caplog.text


async def test_a_batch_that_a_crash_cut_is_cut_off_and_comes_again(tmp_path: Path, clock: FakeClock) -> None:
    record = RECORD
    file = tmp_path / "gateway.yaml"
    file.write_text("")

    def open_books() -> Books:
        return Books(tmp_path, file, lambda: RouteTable("1", ""), clock)

    books = open_books()
    await books.usage("gw", 1, [record % 5, record % 6])
    await books.usage("gw", 1, [record % 5, record % 6])
    (path,) = tmp_path.glob("usage-*.jsonl")
    whole = path.read_bytes()
    for cut in (record % 7 + b"\n", record % 7 + b"\n" + record[:20], b'{"batch":2', b"\0\0\0\n"):
        path.write_bytes(whole + cut)
        books = open_books()
        assert path.read_bytes() == whole
        totals = await books.totals("gw")
        assert (totals.sequence, totals.scopes["key:k"].day, totals.scopes["project:p"].month) == (1, 11, 11)
    await books.usage("gw", 2, [record % 7])
    assert (await open_books().totals("gw")).scopes["key:k"].day == 18
    clock.advance(86_400)
    total = (await books.totals("gw")).scopes["key:k"]
    assert (total.day, total.month) == (0, 18)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"routes": [{"name": "demo"}]}, r"\$\.routes\[0\]"),
        ({"routes": "x"}, r"\$\.routes"),
        ({"keys": [{"secret": "sk-mine"}]}, r"keys\[0\] is no key"),
        ({"keys": [{"secret": "${NOT_SET}"}]}, "NOT_SET"),
        ({"extra": 1}, "extra"),
        ({"media": {"fetch": "now"}}, r"media\.fetch"),
        ({"routes": [{"name": "demo", "upstreams": [{"address": "ftp://x"}]}]}, r"upstreams\[0\] of route 'demo'"),
        ({"routes": [{"name": "a", "upstreams": []}] * 2}, "'a' stands in the file twice"),
        ({"routes": [UP, {"name": "b", "arms": [{"route": "c"}]}]}, "'c', which is not in the file"),
        ({"routes": [UP, LEADS, {"name": "c", "arms": [{"route": "b"}]}]}, "'b', which has arms itself"),
        ({"routes": [UP, LEADS | {"upstreams": []}]}, r"`arms` has no `upstreams`.*\$\.routes\[1\]"),
        ({"routes": [UP, {"name": "b", "arms": [{"route": "a", "weight": 0}]}]}, "a weight above 0"),
        ({"routes": [UP | {"fallbacks": ["a"]}]}, "its own fallback"),
        ({"caches": [{"model": "other"}]}, "'other', which is not in the file"),
        ({"caches": [{"model": "demo", "threshold": 0.5}]}, r"caches\[0\]\.threshold"),
        ({"caches": [{"model": "demo"}] * 2}, "'default/demo' stands in the file twice"),
        ({"projects": [{"name": "p", "limits": {"rmp": 1}}]}, "rmp"),
        ({"projects": [{"name": "p", "limits": {"rpm": 0}}]}, r"limits\.rpm"),
        ({"projects": [{"name": "p", "limits": {"budget_per_day": -1}}]}, "limit budget_per_day"),
        ({"projects": [{"name": "p", "limits": {"budget_per_month": 0.0000001}}]}, "limit budget_per_month"),
        ({"routes": [{"name": "demo", "upstreams": [], "price": {"input": 1}}]}, r"routes\[0\]\.price"),
        ({"routes": [{"name": "d", "upstreams": [], "price": {"input": 1, "output": "NaN"}}]}, r"price\.output of"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    secret = make_key().secret
    right = {"routes": [{"name": "demo", "upstreams": [{"address": "http://h:1"}]}], "keys": [{"secret": secret}]}
    file = tmp_path / "gateway.yaml"
    file.write_text(yaml.safe_dump(right))
    table_of(read_config(file, {}), PEPPER)
    file.write_text(yaml.safe_dump(right | change))
    with pytest.raises(InvalidError, match=words) as caught:
        table_of(read_config(file, {}), PEPPER)
    assert secret not in str(caught.value)


def test_arms_and_fallbacks_of_the_file(tmp_path: Path) -> None:
    other = {"name": "spare", "upstreams": [], "hidden": True}
    goes_on = {"/v1/completions": "prompt"}
    routes = [UP | {"fallbacks": ["spare"], "continues": goes_on}, LEADS | {"sticky": "key"}, other]
    file = tmp_path / "gateway.yaml"
    file.write_text(yaml.safe_dump({"routes": routes, "keys": [{"secret": make_key().secret}]}))
    table = table_of(read_config(file, {}), PEPPER)
    assert [(route.name, route.hidden) for route in table.routes] == [("a", False), ("spare", True)]
    assert [route.continues for route in table.routes] == [goes_on, {}]
    assert table.choices == [
        ChoiceEntry("a", None, [ArmEntry("a")], ["spare"]),
        ChoiceEntry("b", None, [ArmEntry("a")], sticky="key"),
    ]


def test_the_guide_s_example_is_right(tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    file = tmp_path / "gateway.yaml"
    file.write_text(example)
    secrets = {"ENGINE_TOKEN": "a", "PROVIDER_KEY": "b", "SHOP_KEY": make_key().secret}
    table = table_of(read_config(file, secrets), PEPPER)
    assert [route.name for route in table.routes] == ["chat", "large"]
    assert table.routes[1].targets[0].token == "b"
    assert [route.price for route in table.routes] == [PriceEntry(500_000, 50_000, 2_000_000), None]
    assert table.keys[0].limits == LimitsEntry(rpm=600, tokens_per_day=5_000_000, budget_per_day=5_000_000)


async def test_beyond_loopback_needs_tls(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(yaml.safe_dump({"listen": {"host": "0.0.0.0"}, "routes": [], "keys": []}))
    command = [sys.executable, "-m", "aicp.main.standalone", str(file)]
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    _, words = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 78
    assert b"in the clear" in words


def bodies_of(alone: StandAlone) -> list[dict[str, Any]]:
    files = sorted((alone.folder / "gateway-data").glob("requests.jsonl*"), reverse=True)
    lines = [json.loads(line) for path in files for line in path.read_text().splitlines()]
    return [line for line in lines if "batch" not in line]


async def test_bodies_are_written_down_redacted_and_once(tmp_path: Path) -> None:
    """Also where the process was killed after it had written them and before it had shipped them to the file."""
    rule = {"bodies": "all", "redact": ["emails"], "patterns": ["EMP-[0-9]{4,8}"], "max_body_bytes": 4096}
    async with run_engine(tmp_path / "e.sock") as engine:
        alone = StandAlone(tmp_path, engine)
        alone.write(request_log=rule)
        await alone.start()
        said = f"ann@example.org is EMP-12345 with {alone.key}"
        sent: list[str] = []
        for _ in range(3):
            answer = await alone.ask(body=CHAT | {"messages": [{"role": "user", "content": said}]})
            sent.append(answer.headers["x-request-id"])
            await until(lambda: len(bodies_of(alone)) == len(sent))
            await alone.stop(signal.SIGKILL)
            await alone.start()
        await until(lambda: len(bodies_of(alone)) == len(sent))
        assert await alone.stop() == 0
        lines = bodies_of(alone)
        assert [line["request_id"] for line in lines] == sent
        shown = json.loads(lines[0]["request"])["messages"][0]["content"]
        assert shown == "[redacted:email] is [redacted:custom] with [redacted:secret]"
        assert json.loads(lines[0]["answer"])["choices"][0]["message"]["content"] == "Hello to you"
        assert (lines[0]["project"], lines[0]["outcome"], lines[0]["status"]) == ("shop", "ok", 200)


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ({"bodies": "off"}, "bodies"),
        ({"bodies": "all", "redact": ["names"]}, "redact"),
        ({"bodies": "all", "patterns": ["(a+)+b"]}, "without an end"),
        ({"bodies": "all", "share": 2}, "share"),
    ],
)
def test_a_wrong_request_log_is_refused_with_its_place(tmp_path: Path, log: dict[str, Any], reason: str) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(yaml.safe_dump({"routes": [UP], "keys": [{"secret": make_key().secret}], "request_log": log}))
    with pytest.raises(InvalidError, match=reason):
        table_of(read_config(file, {}), PEPPER)


def test_a_request_log_may_be_for_some_projects(tmp_path: Path) -> None:
    keys = [{"secret": make_key().secret, "project": name} for name in ("shop", "lab")]
    file = tmp_path / "gateway.yaml"
    log = {"bodies": "errors", "projects": ["lab"]}
    file.write_text(yaml.safe_dump({"routes": [UP], "keys": keys, "request_log": log}))
    table = table_of(read_config(file, {}), PEPPER)
    logs = {project.name: project.log and project.log.bodies for project in table.projects}
    assert logs == {"shop": None, "lab": "errors"}
