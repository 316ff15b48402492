"""A gateway's life: start without a control plane, table on disk, TLS, drain, a port that is taken, its figures."""

from __future__ import annotations

import asyncio
import resource
import signal
import socket
import ssl
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import openai
import psutil
import pytest
from tests.support.control_plane import TOKEN, ControlPlane, run_control
from tests.support.gateway_process import GatewayProcess, entry_of, free_port, route_to, run_gateway, table_of, until
from tests.support.http_wire import read_answer, read_chunk, read_head, request
from tests.support.openai_engine import Engine, Wire, answer_normally

from aicp.gateway.config import Limits
from aicp.gateway.server import most_requests

CHAT: dict[str, Any] = {"model": "demo", "messages": [{"role": "user", "content": "Hi"}]}
PATH = "/v1/chat/completions"


async def test_without_any_table_yet_it_says_so_and_does_not_call_the_key_wrong(
    secret: str, tmp_path: Path, engine: Engine
) -> None:
    async with run_control() as control, run_gateway(tmp_path / "g", control, secret) as gateway:
        for path, method in ((PATH, "POST"), ("/v1/models", "GET")):
            answer = await gateway.ask(path, CHAT if method == "POST" else b"", method=method)
            assert answer.status == 503
            assert int(answer.headers["retry-after"]) > 0
        control.publish(table_of([route_to([engine])], [entry_of(secret)]))
        await gateway.with_table("1")
        assert (await gateway.ask(PATH, CHAT)).status == 200


async def test_it_serves_from_the_kept_table_while_the_control_plane_is_down(
    gateway: GatewayProcess, control: ControlPlane
) -> None:
    await control.stop()
    assert (await gateway.ask(PATH, CHAT)).status == 200
    for number in (signal.SIGTERM, signal.SIGKILL):
        await gateway.stop(number)
        await gateway.start()
        assert (await gateway.ask(PATH, CHAT)).status == 200
    kept = gateway.directory / "routes.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    await control.start()
    records = await gateway.recorded(3)
    assert len({record["request_id"] for record in records}) == len(records) == 3


async def test_a_damaged_table_on_disk_is_left_aside(gateway: GatewayProcess, control: ControlPlane) -> None:
    await gateway.stop()
    (gateway.directory / "routes.json").write_bytes(b'{"etag": "1", "pep')
    control.beats.clear()
    await gateway.start()
    await gateway.with_table("1")
    assert (await gateway.ask(PATH, CHAT)).status == 200


async def test_a_table_it_cannot_read_leaves_the_old_one_in_use(gateway: GatewayProcess, control: ControlPlane) -> None:
    assert control.table is not None
    control.publish(replace(control.table, etag="2", pepper="not base64!"))
    polls = control.paths["/internal/v1/routes"]
    await until(lambda: control.paths["/internal/v1/routes"] > polls + 1)
    assert (await gateway.ask(PATH, CHAT)).status == 200
    assert control.paths["/internal/v1/routes"] < polls + 50


async def test_the_gateway_keeps_its_name_over_restarts(gateway: GatewayProcess, control: ControlPlane) -> None:
    names = {path for path in control.paths if path.startswith("/internal/v1/gateways/")}
    await gateway.stop(signal.SIGKILL)
    control.beats.clear()
    await gateway.start()
    await until(lambda: control.beats)
    assert {path for path in control.paths if path.startswith("/internal/v1/gateways/")} == names
    assert len(names) == 1


async def test_sigterm_lets_running_answers_finish_and_takes_no_new_ones(
    gateway: GatewayProcess, control: ControlPlane, engine: Engine
) -> None:
    go_on = asyncio.Event()

    async def waits(wire: Wire, asked: Any) -> None:
        await wire.start()
        await wire.event({"choices": [{"index": 0, "delta": {"content": "a"}}]})
        await go_on.wait()
        await wire.event("[DONE]")
        await wire.end()

    engine.script = waits
    reader, writer = await gateway.connect()
    idle_reader, idle_writer = await gateway.connect()
    idle_writer.write(request("GET", "/v1/models", key=gateway.key))
    await read_answer(idle_reader)
    writer.write(request("POST", PATH, CHAT | {"stream": True}, key=gateway.key))
    assert (await read_head(reader)).status == 200
    ending = asyncio.ensure_future(gateway.stop())
    assert await asyncio.wait_for(idle_reader.read(), 5) == b""
    await asyncio.sleep(0.2)
    with pytest.raises(ConnectionRefusedError):
        await gateway.connect()
    assert not ending.done()
    go_on.set()
    pieces: list[bytes] = []
    while piece := await read_chunk(reader):
        pieces.append(piece)
    assert pieces[-1] == b"data: [DONE]\n\n"
    assert await asyncio.wait_for(reader.read(), 5) == b""
    assert await ending == 0
    (record,) = control.usage
    assert record["outcome"] == "ok"
    for open_writer in (writer, idle_writer):
        open_writer.close()


async def test_a_request_that_outlasts_the_drain_is_cut_and_counted(
    control: ControlPlane, secret: str, tmp_path: Path, engine: Engine
) -> None:
    async def endless(wire: Wire, asked: Any) -> None:
        await wire.start()
        while True:
            await wire.event({"choices": []})
            await asyncio.sleep(0.05)

    engine.script = endless
    async with run_gateway(tmp_path / "g", control, secret, limits={"drain_seconds": 0.5}) as gateway:
        reader, writer = await gateway.connect()
        writer.write(request("POST", PATH, CHAT | {"stream": True}, key=secret))
        await read_head(reader)
        assert await asyncio.wait_for(gateway.stop(), 10) == 0
        await until(lambda: engine.aborted)
        writer.close()
    await until(lambda: control.usage)
    assert len(control.usage) == 1


async def test_a_port_that_is_taken_is_told_in_one_line(control: ControlPlane, secret: str, tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        gateway = GatewayProcess(tmp_path / "g", control, listener.getsockname()[1], secret)
        await gateway.start()
        assert gateway.process is not None
        assert await asyncio.wait_for(gateway.process.wait(), 15) != 0
        await gateway.stop()
        assert any(str(gateway.port) in line for line in gateway.lines)


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, and its key."""
    folder.mkdir()
    files = folder / "certificate.pem", folder / "key.pem"
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=somewhere-else", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", *kind, *names, "-keyout", str(files[1]), "-out", str(files[0])]
    subprocess.run(command, check=True, capture_output=True)
    return files


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """The platform's own."""
    return make_certificate(tmp_path / "own")


@pytest.fixture
def another_certificate(tmp_path: Path) -> tuple[Path, Path]:
    """Somebody else's."""
    return make_certificate(tmp_path / "other")


async def test_tls_on_both_sides(certificate: tuple[Path, Path], engine: Engine, secret: str, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    control = ControlPlane(table=table_of([route_to([engine])], [entry_of(secret)]), tls=context)
    await control.start()
    options = {
        "tls_certificate": str(certificate[0]),
        "tls_key": str(certificate[1]),
        "control_certificate": str(certificate[0]),
    }
    async with run_gateway(tmp_path / "g", control, secret, **options) as gateway:
        trusting = ssl.create_default_context(cafile=str(certificate[0]))
        async with httpx.AsyncClient(verify=trusting) as http:
            client = openai.AsyncOpenAI(api_key=secret, base_url=f"{gateway.base_url}/v1", http_client=http)
            stream = await client.chat.completions.create(
                model="demo", messages=[{"role": "user", "content": "Hi"}], stream=True
            )
            text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
            assert text == "Hello to you"
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, OSError)):
            await asyncio.open_connection("127.0.0.1", gateway.port, ssl=old)
        await until(lambda: control.usage)
    await control.stop()


async def test_a_control_plane_with_another_certificate_is_not_believed(
    certificate: tuple[Path, Path], another_certificate: tuple[Path, Path], engine: Engine, secret: str, tmp_path: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*another_certificate)
    control = ControlPlane(port=free_port(), table=table_of([route_to([engine])], [entry_of(secret)]), tls=context)
    await control.start()
    gateway = GatewayProcess(tmp_path / "g", control, free_port(), secret, {"control_certificate": str(certificate[0])})
    await gateway.start()
    await asyncio.sleep(1.0)
    assert not control.beats
    assert not control.paths
    await gateway.stop()
    await control.stop()


async def test_figures_are_for_the_platform_only(gateway: GatewayProcess, engine: Engine) -> None:
    for key in ("", gateway.key, "wrong"):
        assert (await gateway.ask("/metrics", method="GET", key=key)).status == 401
    engine.script = answer_normally
    for stream in (False, True, True):
        await gateway.ask(PATH, CHAT | {"stream": stream})
    await gateway.recorded(3)
    answer = await gateway.ask("/metrics", method="GET", key=TOKEN)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain")
    text = answer.body.decode()
    samples = [line for line in text.splitlines() if not line.startswith("#")]
    requests = [line for line in samples if "requests_total" in line and 'outcome="ok"' in line and "demo" in line]
    assert len(requests) == 1
    assert float(requests[0].split()[-1]) == 3
    for word in ("requests_running", "first_token_seconds_bucket", "latency_seconds_bucket", "tokens_total"):
        assert word in text, word
    for line in text.splitlines():
        assert line.startswith("# ") or len(line.rsplit(" ", 1)) == 2


async def test_it_stays_small(gateway: GatewayProcess) -> None:
    for _ in range(3):
        await asyncio.gather(*(gateway.ask(PATH, CHAT | {"stream": True}) for _ in range(100)))
    assert gateway.pss_mb() < 45


async def test_it_takes_all_descriptors_it_may_and_says_how_many_requests_they_carry(
    tmp_path: Path, control: ControlPlane, secret: str
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
    try:
        async with run_gateway(tmp_path, control, secret) as gateway:
            assert gateway.process is not None
            assert psutil.Process(gateway.process.pid).rlimit(psutil.RLIMIT_NOFILE) == (hard, hard)
            most = min(most_requests(hard), Limits().connections)
            answer = await gateway.ask("/metrics", method="GET", key=TOKEN)
            assert f"\naicp_gateway_requests_most {most}\n" in answer.body.decode()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_it_loads_neither_a_database_nor_an_http_framework() -> None:
    program = "import sys, aicp.gateway.server; print(*sys.modules)"
    done = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    out, _ = await done.communicate()
    loaded = set(out.decode().split())
    assert "httptools" in loaded
    assert not loaded & {"sqlalchemy", "alembic", "fastapi", "starlette", "httpx", "pydantic"}
