"""Files and batches with OpenAI's own client at the gateway's address of a real platform with the echo engine."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import psutil
import pytest
from openai.types import Batch
from tests.support.platform import Platform, eventually

from aicp.core.service import Mode, ServiceCreate, ServiceSpec
from aicp.core.usage import UsageQuery

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
ENDED = {"completed", "failed", "expired", "cancelled"}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    platform = Platform(tmp_path_factory.mktemp("batches") / "data", AICP_FILE_QUOTA="300MiB").start()
    try:
        platform.import_demo("demo")
        publish(platform, "quick", {})
        publish(platform, "slow", {"first_token_delay_ms": 300})
        yield platform
    finally:
        platform.stop()


def publish(platform: Platform, name: str, flags: dict[str, Any]) -> None:
    spec = ServiceSpec(model="demo", engine="echo", mode=Mode.CUSTOM, engine_flags=flags)
    platform.client.services.create(ServiceCreate(name=name, spec=spec))
    platform.client.services.wait(name, timeout_seconds=60)


def caller(platform: Platform, *options: str) -> tuple[openai.OpenAI, str]:
    """OpenAI's client with a new key that the gateway knows, and the key's id."""
    made = json.loads(platform.cli("key", "create", "batches", *options, "--json").stdout)
    http = openai.DefaultHttpxClient(trust_env=False)
    client = openai.OpenAI(
        base_url=f"{platform.gateway_url}/v1", api_key=made["secret"], max_retries=0, http_client=http
    )

    def known() -> bool:
        try:
            return bool(client.models.list().data)
        except openai.AuthenticationError:
            return False

    eventually("the gateway knows the key", known, seconds=5)
    return client, made["key"]["id"]


def lines(count: int, model: str = "quick", **more: Any) -> bytes:
    texts = [
        {
            "custom_id": f"line-{number}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": model, "messages": [{"role": "user", "content": f"say {number}"}], **more},
        }
        for number in range(count)
    ]
    return b"".join(json.dumps(text).encode() + b"\n" for text in texts)


def order(client: openai.OpenAI, content: bytes) -> Batch:
    file = client.files.create(file=("input.jsonl", io.BytesIO(content)), purpose="batch")
    return client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"team": "a"}
    )


def ended(client: openai.OpenAI, batch: Batch, seconds: float = 60) -> Batch:
    def now() -> Batch | None:
        try:
            found = client.batches.retrieve(batch.id)
        except openai.InternalServerError:  # control is away
            return None
        return found if found.status in ENDED else None

    found = eventually("the batch ends", now, seconds=seconds)
    assert found is not None
    return found


def results(client: openai.OpenAI, file_id: str | None) -> list[dict[str, Any]]:
    assert file_id is not None
    return [json.loads(line) for line in client.files.content(file_id).text.splitlines()]


def test_a_batch_from_the_file_to_its_results(platform: Platform) -> None:
    client, key_id = caller(platform)
    wrong = json.dumps(
        {"custom_id": "wrong", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "nope"}}
    )
    batch = order(client, lines(40) + wrong.encode())
    assert batch.status == "validating"
    assert batch.metadata == {"team": "a"}
    batch = ended(client, batch)
    assert batch.status == "completed"
    assert batch.request_counts is not None
    assert (batch.request_counts.total, batch.request_counts.completed, batch.request_counts.failed) == (41, 40, 1)
    assert batch.in_progress_at
    assert batch.finalizing_at
    assert batch.completed_at
    answers = results(client, batch.output_file_id)
    assert {answer["custom_id"] for answer in answers} == {f"line-{number}" for number in range(40)}
    first = next(answer for answer in answers if answer["custom_id"] == "line-3")
    assert first["error"] is None
    assert first["response"]["status_code"] == 200
    assert "say 3" in first["response"]["body"]["choices"][0]["message"]["content"]
    [failed] = results(client, batch.error_file_id)
    assert failed["custom_id"] == "wrong"
    assert failed["response"]["status_code"] == 404
    assert failed["response"]["body"]["error"]["code"] == "model_not_found"

    def counted() -> bool:
        rows = platform.client.records.usage(UsageQuery(api_key_id=key_id), limit=500)
        return Counter(row.outcome for row in rows)["ok"] == 40 and {row.project for row in rows} == {"default"}

    eventually("each request is one usage row of the key", counted, seconds=15)


def test_files_as_openai_s_client_uses_them(platform: Platform) -> None:
    client, _ = caller(platform)
    content = lines(3)
    made = client.files.create(file=("a.jsonl", io.BytesIO(content)), purpose="batch")
    assert (made.object, made.bytes, made.filename, made.purpose) == ("file", len(content), "a.jsonl", "batch")
    later = client.files.create(
        file=("b.jsonl", io.BytesIO(content)), purpose="batch", expires_after={"anchor": "created_at", "seconds": 3600}
    )
    assert later.expires_at == later.created_at + 3600
    listed = [file.id for file in client.files.list(limit=1)]
    assert listed.index(later.id) < listed.index(made.id), "newest first, over as many pages as there are"
    assert client.files.retrieve(made.id) == made
    assert client.files.content(made.id).read() == content
    assert client.files.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(made.id)
    with pytest.raises(openai.BadRequestError, match="purpose"):
        client.files.create(file=("a.jsonl", io.BytesIO(content)), purpose="fine-tune")
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="sk-wrong").files.list()


def test_another_project_sees_nothing(platform: Platform) -> None:
    client, _ = caller(platform)
    batch = order(client, lines(1))
    platform.cli("project", "create", "other")
    stranger, _ = caller(platform, "--project", "other")
    for look in (
        lambda: stranger.files.retrieve(batch.input_file_id),
        lambda: stranger.files.content(batch.input_file_id),
        lambda: stranger.files.delete(batch.input_file_id),
        lambda: stranger.batches.retrieve(batch.id),
        lambda: stranger.batches.cancel(batch.id),
        lambda: stranger.batches.create(
            input_file_id=batch.input_file_id, endpoint="/v1/chat/completions", completion_window="24h"
        ),
    ):
        with pytest.raises(openai.NotFoundError):
            look()
    assert not stranger.files.list().data
    assert not stranger.batches.list().data
    ended(client, batch)


def test_wrong_lines_fail_the_batch_and_are_named(platform: Platform) -> None:
    client, _ = caller(platform)
    batch = ended(client, order(client, lines(2) + lines(1) + b"no json\n"))
    assert batch.status == "failed"
    assert batch.errors is not None
    problems = [(problem.line, problem.code) for problem in batch.errors.data or []]
    assert problems == [(3, "duplicate_custom_id"), (4, "invalid_json_line")]
    with pytest.raises(openai.BadRequestError, match="completion_window"):
        client.batches.create(
            input_file_id=batch.input_file_id,
            endpoint="/v1/chat/completions",
            completion_window="soon",  # pyright: ignore[reportArgumentType]
        )


def test_killed_in_the_middle_every_line_has_one_result(platform: Platform) -> None:
    client, _ = caller(platform)
    batch = order(client, lines(600, "slow", max_tokens=2))

    def some() -> bool:
        counts = client.batches.retrieve(batch.id).request_counts
        return counts is not None and 20 < counts.completed < 500

    for _ in range(2):
        eventually("some lines are done", some)
        old = platform.kill("control")
        with pytest.raises(openai.InternalServerError, match="control plane does not answer"):
            client.files.list()
        platform.wait_restarted("control", old)
        eventually("control answers", platform.answers)
    done = ended(client, batch, seconds=120)
    assert done.status == "completed"
    assert done.request_counts is not None
    assert (done.request_counts.completed, done.request_counts.failed) == (600, 0)
    names = [answer["custom_id"] for answer in results(client, done.output_file_id)]
    assert len(names) == 600
    assert set(names) == {f"line-{number}" for number in range(600)}
    work = platform.data_dir / "artifacts" / "files" / "work"
    eventually("nothing is left of the work", lambda: not list(work.iterdir()), seconds=5)


def test_a_cancelled_batch_keeps_what_was_answered(platform: Platform) -> None:
    client, _ = caller(platform)
    batch = order(client, lines(2000, "slow", max_tokens=2))

    def some() -> bool:
        counts = client.batches.retrieve(batch.id).request_counts
        return counts is not None and counts.completed > 20

    eventually("some lines are done", some)
    assert client.batches.cancel(batch.id).status == "cancelling"
    done = ended(client, batch, seconds=10)
    assert done.status == "cancelled"
    assert done.request_counts is not None
    assert 20 < done.request_counts.completed < 2000
    assert len(results(client, done.output_file_id)) == done.request_counts.completed
    assert client.batches.cancel(batch.id).status == "cancelled"
    assert batch.id in [each.id for each in client.batches.list(limit=1)]


def test_a_limit_of_the_key_slows_its_batch_and_fails_no_line(platform: Platform) -> None:
    client, key_id = caller(platform, "--limit", "rpm=6")
    batch = order(client, lines(20))

    def waits() -> str | None:
        return platform.client.batches.get(batch.id).waits_for

    reason = eventually("the batch is told to wait", waits)
    assert reason is not None
    assert "6 requests a minute" in reason
    platform.cli("key", "update", key_id, "--limit", "rpm=")
    client.batches.cancel(batch.id)
    done = ended(client, batch)
    assert done.request_counts is not None
    assert (done.request_counts.completed, done.request_counts.failed) == (6, 0)


def test_from_the_command_line(platform: Platform, tmp_path: Path) -> None:
    _, key_id = caller(platform)
    source, answers = tmp_path / "requests.jsonl", tmp_path / "answers.jsonl"
    source.write_bytes(lines(3))
    words = ("--key", key_id, "--completion-window", "2h", "--metadata", "team=a", "--output-seconds", "7200")
    batch = json.loads(platform.cli("batch", "create", str(source), *words, "--json").stdout)
    assert (batch["completion_window"], batch["metadata"]) == ("2h", {"team": "a"})
    assert platform.client.batches.wait(batch["id"], timeout_seconds=30).state == "completed"
    shown = platform.cli("batch", "show", batch["id"]).stdout
    assert "3 of 3" in shown
    assert "team=a" in shown
    assert batch["id"] in platform.cli("batch", "ls", "--state", "completed", COLUMNS="200").stdout
    platform.cli("batch", "results", batch["id"], "--to", str(answers))
    assert len(answers.read_text().splitlines()) == 3
    none = platform.cli("batch", "results", batch["id"], "--errors", check=False)
    assert none.returncode == 3
    assert "no file of errors" in " ".join(none.stderr.split())
    files = json.loads(platform.cli("file", "ls", "--purpose", "batch_output", "--json").stdout)
    output = next(file for file in files if file["created_by"] == batch["id"])
    assert output["expires_at"] is not None
    assert platform.cli("file", "content", batch["input_file_id"]).stdout.encode() == lines(3)
    platform.cli("file", "rm", batch["input_file_id"])
    assert platform.cli("file", "show", batch["input_file_id"], check=False).returncode == 3
    again = platform.cli("batch", "create", batch["input_file_id"], "--key", key_id, check=False)
    assert "There is no file" in " ".join(again.stderr.split())
    wrong = platform.cli("batch", "create", str(source), "--key", "nobody", check=False)
    assert "no live key" in " ".join(wrong.stderr.split())


def test_a_large_file_passes_without_being_held(platform: Platform) -> None:
    client, _ = caller(platform)
    line = b" " * (2**20 - 1) + b"\n"

    class Large(io.RawIOBase):
        left = 150

        def read(self, size: int = -1) -> bytes:
            self.left -= 1
            return line if self.left >= 0 else b""

    before = {name: psutil.Process(platform.pid(name)).memory_info().rss for name in ("gateway", "control")}
    headers = {"Authorization": f"Bearer {client.api_key}", "Content-Type": "multipart/form-data; boundary=b"}

    def form() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="large.jsonl"\r\n\r\n'
        source = Large()
        while piece := source.read():
            yield piece
        yield b"\r\n--b--\r\n"

    with httpx.Client(trust_env=False, timeout=120) as http:
        made = http.post(f"{platform.gateway_url}/v1/files", content=form(), headers=headers)
        assert made.status_code == 200, made.text
        assert made.json()["bytes"] == 150 * 2**20
        over = http.post(f"{platform.gateway_url}/v1/files", content=form(), headers=headers)
        assert over.status_code == 413, "the project's quota is 300 MiB, and others are there"
        assert "300 MiB" in over.json()["error"]["message"]
    for name, earlier in before.items():
        assert psutil.Process(platform.pid(name)).memory_info().rss - earlier < 40 * 2**20, name
    assert len(client.files.content(made.json()["id"]).read()) == 150 * 2**20
    client.files.delete(made.json()["id"])
