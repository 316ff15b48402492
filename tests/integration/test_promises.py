"""What must hold when things die or go wrong, on the real engine: nothing lost, nothing doubled, clear words."""

from __future__ import annotations

import csv
import json
import math
import os
import secrets
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from tests.support.platform import DEMO_MODEL, Platform, eventually
from tests.support.walk import Walk

from aicp.core.service import ServiceState

pytestmark = [pytest.mark.e2e, pytest.mark.engine, pytest.mark.timeout(1800)]
MODEL = "aicp-demo"


def ready_replicas(walk: Walk) -> list[tuple[str, int | None]]:
    replicas = walk.platform.client.services.replicas(MODEL)
    return [(replica.id, replica.pid) for replica in replicas if replica.state == "ready"]


class Caller(threading.Thread):
    """Calls the gateway until told to stop and keeps its own list of what it sent and what came of it."""

    def __init__(self, walk: Walk, **fields: Any) -> None:
        """`fields` go into each request; by default four tokens are asked for."""
        super().__init__(daemon=True)
        self.fields = {"max_tokens": 4, **fields}
        self.walk, self.stopped = walk, threading.Event()
        self.prefix = secrets.token_hex(6)  # an address in memory is used again by a later test's caller
        self.statuses: list[int] = []
        self.answered: list[str] = []
        self.cut: list[str] = []
        self.sent_at = math.inf
        self.reached: dict[str, float] = {}
        """Of those cut: when each was sent whose connection had been taken."""
        self.without_retry_after = 0
        self.refusals: list[str] = []
        """What was said to those that were not served."""

    def run(self) -> None:
        for number in count():
            if self.stopped.is_set():
                return
            name = f"{self.prefix}-{number}"
            self.sent_at = sent_at = time.monotonic()
            try:
                answer = self.walk.platform.chat(
                    self.walk.facts["api_key"], MODEL, "What is aicp?", request_id=name, **self.fields
                )
            except httpx.HTTPError as error:
                self.cut.append(name)
                if not isinstance(error, httpx.ConnectError):
                    self.reached[name] = sent_at
                self.stopped.wait(0.05)
                continue
            self.statuses.append(answer.status_code)
            self.answered.append(name)
            if answer.status_code != 200:
                self.refusals.append(answer.text)
            self.without_retry_after += answer.status_code == 503 and "retry-after" not in answer.headers

    def end(self) -> Caller:
        self.stopped.set()
        self.join(120)
        return self


def test_killed_engine_comes_back_and_callers_get_answers_or_503(walk: Walk) -> None:
    caller = Caller(walk)
    caller.start()
    (_, pid), *_ = eventually("a ready replica", lambda: ready_replicas(walk))
    assert pid is not None
    eventually("calls are answered", lambda: 200 in caller.statuses)
    os.kill(pid, signal.SIGKILL)
    eventually("a new engine", lambda: [r for r in ready_replicas(walk) if r[1] not in (None, pid)], seconds=180)
    eventually("it answers", lambda: caller.statuses[-1:] == [200], seconds=60)
    caller.end()
    assert set(caller.statuses) <= {200, 503}
    assert caller.without_retry_after == 0
    assert caller.cut == [], "the gateway cut connections because an engine died"


def test_a_killed_engine_does_not_harm_calls_on_the_other_replica(walk: Walk) -> None:
    walk.platform.cli("service", "scale", MODEL, "2")
    try:
        (_, pid), _ = eventually("two ready replicas", lambda: len(r := ready_replicas(walk)) == 2 and r)
        assert pid is not None
        callers = [Caller(walk) for _ in range(4)]
        for caller in callers:
            caller.start()
        eventually("calls are answered", lambda: all(caller.statuses for caller in callers))
        os.kill(pid, signal.SIGKILL)
        counts = [len(caller.statuses) for caller in callers]
        eventually(
            "all callers go on beside the dead replica",
            lambda: all(len(caller.statuses) > count + 5 for caller, count in zip(callers, counts, strict=True)),
            seconds=20,
        )
        for caller in callers:
            caller.end()
        statuses = [status for caller in callers for status in caller.statuses]
        assert set(statuses) == {200}, "a call was not tried on the other replica"
        assert [name for caller in callers for name in caller.cut] == []
    finally:
        walk.platform.cli("service", "scale", MODEL, "1")


def streamed(walk: Walk, act: Callable[[], None] = lambda: None) -> tuple[str, list[dict[str, Any]]]:
    """The text of an answer and its events, word for word; `act` is called when it has begun."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": "What is aicp?"}], "temperature": 0}
    body |= {"max_tokens": 96, "stream": True, "stream_options": {"include_usage": True}}
    lines: list[str] = []
    with httpx.stream(
        "POST",
        f"{walk.platform.gateway_url}/v1/chat/completions",
        json=body,
        headers={"Authorization": f"Bearer {walk.facts['api_key']}"},
        timeout=120,
        trust_env=False,
    ) as answer:
        assert answer.status_code == 200
        for line in answer.iter_lines():
            lines += [line.removeprefix("data: ")] if line else []
            if line and len(lines) == 3:
                act()
    assert lines[-1] == "[DONE]", lines[-1]
    events = [json.loads(line) for line in lines[:-1]]
    words = [event["choices"][0]["delta"].get("content") or "" for event in events if event["choices"]]
    return "".join(words), events


def gateway_metrics(platform: Platform) -> dict[str, float]:
    token = (platform.data_dir / "run" / "internal.token").read_text().strip()
    answer = httpx.get(f"{platform.gateway_url}/metrics", headers={"Authorization": f"Bearer {token}"}, trust_env=False)
    pairs = [line.rsplit(" ", 1) for line in answer.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in pairs}


def test_a_stream_goes_on_on_the_other_replica_when_its_engine_is_killed(walk: Walk) -> None:
    """The model takes its likeliest token, so the whole is to the letter what one engine says alone."""
    walk.platform.cli("service", "scale", MODEL, "2")
    try:
        eventually("two ready replicas", lambda: len(ready_replicas(walk)) == 2)
        eventually("the gateway knows both", lambda: _targets(walk.platform) == 2)
        alone, events = streamed(walk)
        counts = events[-1]["usage"]
        before = gateway_metrics(walk.platform)["aicp_gateway_continuations_total"]
        pids = {replica: pid for replica, pid in ready_replicas(walk) if pid is not None}
        killed: list[str] = []

        def kill() -> None:
            for pid in pids.values():
                os.kill(pid, signal.SIGSTOP)  # an answer takes less time than finding out who gives it
            inflight = gateway_metrics(walk.platform)
            for replica, pid in pids.items():
                busy = inflight[f'aicp_gateway_replica_requests_running{{replica="{replica}"}}'] > 0
                os.kill(pid, signal.SIGKILL if busy else signal.SIGCONT)
                killed.extend([replica] * busy)

        text, events = streamed(walk, kill)
        assert len(killed) == 1
        assert gateway_metrics(walk.platform)["aicp_gateway_continuations_total"] == before + 1
        assert text == alone
        assert len({event["id"] for event in events}) == 1
        assert ["role" in event["choices"][0]["delta"] for event in events if event["choices"]].count(True) == 1
        assert events[-1]["usage"]["total_tokens"] == pytest.approx(counts["total_tokens"], abs=1)
        # tokens that came several in a piece, as they do on a busy machine, were counted as one of the answer
        assert counts["prompt_tokens"] - 2 <= events[-1]["usage"]["prompt_tokens"] < counts["total_tokens"]
    finally:
        walk.platform.cli("service", "scale", MODEL, "1")


def _targets(platform: Platform) -> int:
    """Replicas that the gateway may use."""
    return sum(name.startswith("aicp_gateway_replica_requests_running{") for name in gateway_metrics(platform))


def test_killed_gateway_is_back_in_a_second_and_usage_is_exact(walk: Walk) -> None:
    platform = walk.platform
    # Long answers: an engine is at work on some of them whenever the gateway dies.
    callers = [Caller(walk, max_tokens=200, ignore_eos=True) for _ in range(4)]
    for caller in callers:
        caller.start()
    eventually("calls are answered", lambda: all(len(caller.statuses) > 2 for caller in callers), seconds=60)
    eventually(
        "an engine is at work on all", lambda: all(caller.sent_at < time.monotonic() - 0.3 for caller in callers)
    )
    started = time.monotonic()
    platform.kill("gateway")
    eventually("the gateway answers", lambda: _healthy(platform), seconds=10)
    back_seconds = time.monotonic() - started
    eventually("calls go on", lambda: all(caller.statuses[-1:] == [200] for caller in callers), seconds=30)
    for caller in callers:
        caller.end()
    answered = {name for caller in callers for name in caller.answered}
    cut = {name for caller in callers for name in caller.cut}

    def rows() -> dict[str, list[str]]:
        return _outcomes(platform, answered | cut)

    eventually("every answered request is counted", lambda: answered <= set(rows()))
    platform.chat(walk.facts["api_key"], MODEL, "the last", request_id="after-all", max_tokens=1)
    eventually("what came later is counted too", lambda: _outcomes(platform, {"after-all"}))
    counted = rows()
    assert [name for name, outcomes in counted.items() if len(outcomes) != 1] == [], "a request was counted twice"
    interrupted = {name for name, outcomes in counted.items() if outcomes == ["interrupted"]}
    reached = {name: sent_at for caller in callers for name, sent_at in caller.reached.items()}
    assert interrupted <= reached.keys(), "an answered request was counted as interrupted"
    # What was sent in the very moment may have died unread; all else was at work on an engine, and has left its row.
    at_work = {name for name, sent_at in reached.items() if sent_at < started - 0.2}
    assert len(at_work) > 1, "hardly a request was at work when the gateway died"
    assert at_work <= interrupted, "a request at work when the gateway died has left no row"
    assert back_seconds < 1.5, f"the gateway took {back_seconds:.2f} s to come back"


def _healthy(platform: Platform) -> bool:
    try:
        return httpx.get(f"{platform.gateway_url}/healthz", trust_env=False, timeout=1).status_code == 200
    except httpx.HTTPError:
        return False


def _usage_rows(platform: Platform) -> list[dict[str, str]]:
    return list(csv.DictReader(platform.client.records.usage_csv()))


def _outcomes(platform: Platform, names: set[str]) -> dict[str, list[str]]:
    """The outcomes of all rows whose request the client named so."""
    found: dict[str, list[str]] = {}
    for row in _usage_rows(platform):
        name = row["request_id"].partition(".")[0]
        if name in names:
            found.setdefault(name, []).append(row["outcome"])
    return found


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_killed_agent_adopts_the_engine(walk: Walk) -> None:
    before = eventually("a ready replica", lambda: ready_replicas(walk))
    old = walk.platform.kill("agent")
    walk.platform.wait_restarted("agent", old)
    caller = Caller(walk)
    caller.start()
    eventually("calls are answered", lambda: len(caller.statuses) > 3)
    caller.end()
    assert set(caller.statuses) == {200}
    eventually("the same engine", lambda: ready_replicas(walk) == before)


def test_killed_supervisor_is_taken_over(walk: Walk) -> None:
    platform = walk.platform
    pids = {name: platform.pid(name) for name in ("control", "gateway", "agent")}
    before = eventually("a ready replica", lambda: ready_replicas(walk))
    platform.kill("up")
    assert walk.platform.chat(walk.facts["api_key"], MODEL, "Hello", max_tokens=2).status_code == 200
    platform.start()
    assert {name: platform.pid(name) for name in pids} == pids, "children were restarted instead of taken over"
    eventually("the same engine", lambda: ready_replicas(walk) == before)


def test_rolling_update_keeps_serving_and_a_bad_one_rolls_back(walk: Walk, tmp_path: Path) -> None:
    platform, client = walk.platform, walk.platform.client
    caller = Caller(walk)
    caller.start()
    generation = client.services.get(MODEL).generation
    platform.cli("service", "update", MODEL, "--context", "512")
    service = client.services.get(MODEL)
    assert service.serving_generation == generation + 1
    assert service.state == ServiceState.READY

    # Sound files whose weights have other shapes than the configuration says: only the engine can find out.
    shutil.copytree(DEMO_MODEL, tmp_path / "broken")
    config = tmp_path / "broken" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "hidden_size": 512}))
    client.jobs.wait(client.models.import_directory(MODEL, tmp_path / "broken").id)
    refused = platform.cli("service", "update", MODEL, "--model", MODEL, check=False)
    assert refused.returncode != 0
    assert "rolled back" in refused.stderr
    assert "must match" in refused.stderr, "the cause is not named"
    assert client.services.get(MODEL).serving_generation == generation + 1
    assert client.services.revisions(MODEL)[0].outcome == "rolled_back"
    assert ready_replicas(walk)
    caller.end()
    assert caller.refusals == [], "the updates were noticed by callers"
    assert caller.cut == []


def test_two_platforms_on_one_directory_are_refused(walk: Walk) -> None:
    second = Platform(walk.platform.data_dir)
    done = subprocess.run(second.command("up"), env=second.env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert str(walk.platform.data_dir) in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    assert walk.platform.answers()


def test_taken_port_is_named(walk: Walk, tmp_path: Path) -> None:
    second = Platform(tmp_path / "data", AICP_PORT=str(walk.platform.port))
    done = subprocess.run(second.command("up"), env=second.env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert str(walk.platform.port) in done.stderr
    assert "AICP_PORT" in done.stderr or "--port" in done.stderr
    assert "Traceback" not in done.stderr


def test_many_revisions_at_once_end_in_one(walk: Walk) -> None:
    client = walk.platform.client
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: walk.platform.cli("service", "scale", MODEL, "1", "--no-wait"), range(4)))
    service = client.services.wait(MODEL, timeout_seconds=300)
    assert service.replicas_ready == 1


def test_clean_stop_leaves_no_process(walk: Walk) -> None:
    platform = walk.platform
    engine_pids = [pid for _, pid in eventually("a ready replica", lambda: ready_replicas(walk)) if pid]
    ours = [platform.pid(name) for name in ("up", "control", "gateway", "agent")]
    assert platform.stop() == 0
    left = [pid for pid in engine_pids + ours if _runs(pid)]
    assert left == []
    platform.start()
    eventually("the demo is ready again", lambda: ready_replicas(walk), seconds=300)
