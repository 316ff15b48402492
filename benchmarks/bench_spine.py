"""The figures of the spine: start, idle memory, what the gateway adds, import speed, publish time, fit error.

`make bench-spine` writes benchmarks/results/spine.json. Every comparison takes both sides in turn in one run, each of
them first as often as second. Only the demonstration model on real engines is used, never the echo engine. Needs about
fifteen minutes on two cores.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from report import interval, percentile, quartiles, spread, write
from tests.support.gguf import write_demo_gguf
from tests.support.platform import Platform, eventually

from aicp.core.service import ServiceCreate, ServiceSpec

MODEL = "aicp-demo"
PROCESSES = ("up", "control", "gateway", "agent")
ANSWER_TOKENS = 32
ROUNDS, PAIRS = 40, 50
WARM_UP = 50
IMPORTS, PUBLISHES = 6, 3
SAMPLE_SECONDS = 8.0
"""The agent measures a ready engine every five seconds, and tells the control plane a moment later."""
NOTE = (
    "Measured on shared cores with other work at the same time: single values lie far apart, and only comparisons "
    "within one run mean something. load_average is that of the end. Figures of single calls, p99 above all, are ruled "
    "by the engine's own spread: read them with their intervals."
)


def up_seconds(platform: Platform, key: str) -> float:
    """From `aicp up` until an authenticated REST read and /v1/models both answer."""
    started = time.monotonic()
    platform.start([str(Path(sys.executable).with_name("aicp")), "up"])
    headers = {"Authorization": f"Bearer {key}"}
    url = f"{platform.gateway_url}/v1/models"
    eventually("models are listed", lambda: httpx.get(url, headers=headers, trust_env=False).status_code == 200)
    return time.monotonic() - started


def idle_megabytes(platform: Platform) -> dict[str, Any]:
    """PSS of the platform's processes, engines excluded."""
    sizes = {name: psutil.Process(platform.pid(name)).memory_full_info().pss / 1e6 for name in PROCESSES}
    return {"mb": round(sum(sizes.values()), 1), "mb_of": {name: round(size, 1) for name, size in sizes.items()}}


def idle_again_and_again(platform: Platform) -> dict[str, Any]:
    """Five samples, two seconds apart: the loops of an idle platform come round once a second."""
    samples: list[dict[str, Any]] = []
    for _ in range(5):
        time.sleep(2)
        samples.append(idle_megabytes(platform))
    return {**samples[-1], **with_spread("mb", [sample["mb"] for sample in samples])}


def import_ratios(platform: Platform, directory: Path) -> dict[str, Any]:
    """Seconds of `cp` + `sha256sum` over seconds of our import, of the same files.

    Warm: the files are in the page cache, as after a download. Cold: they are dropped from it before each side.
    """
    figures: dict[str, Any] = {}
    for name, cold in (("ratio", False), ("ratio_cold", True)):
        pairs: list[tuple[float, float]] = []
        for number in range(IMPORTS):
            sides = [_plain_seconds, lambda one, cold: _import_seconds(platform, one, cold)]
            first = number % 2
            times = {side: sides[side](directory, cold) for side in (first, 1 - first)}
            pairs.append((times[0], times[1]))
        figures |= with_spread(name, [plain / ours for plain, ours in pairs])
        seconds = {"plain": [plain for plain, _ in pairs], "import": [ours for _, ours in pairs]}
        figures[f"{name}_seconds"] = {side: spread(values)["median"] for side, values in seconds.items()}
    return {**figures, "cold": "page cache of the files dropped before each side", "order": "alternating"}


def _plain_seconds(directory: Path, cold: bool) -> float:
    _page_cache(directory, cold)
    copy = directory.parent / "copy"
    started = time.monotonic()
    subprocess.run(["cp", "-r", directory, copy], check=True)
    files = sorted(str(path) for path in copy.rglob("*") if path.is_file())
    subprocess.run(["sha256sum", *files], check=True, stdout=subprocess.DEVNULL)
    seconds = time.monotonic() - started
    shutil.rmtree(copy)
    return seconds


def _import_seconds(platform: Platform, directory: Path, cold: bool) -> float:
    _page_cache(directory, cold)
    client = platform.client
    started = time.monotonic()
    job = client.jobs.wait(client.models.import_directory("large", directory).id)
    ours = (job.finished_at - job.started_at).total_seconds() if job.finished_at and job.started_at else 0.0
    assert ours <= time.monotonic() - started
    client.models.delete("large")
    return ours


def _page_cache(directory: Path, cold: bool) -> None:
    """Puts the files into the page cache, or out of it; what an earlier side wrote is on the disk first."""
    os.sync()
    for path in directory.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                if cold:
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                else:
                    while file.read(1 << 22):
                        pass


def write_large_model(directory: Path, demo: Path, megabytes: int) -> None:
    """A valid safetensors model of the demonstration's architecture with one large tensor of random bytes."""
    directory.mkdir(parents=True)
    for path in demo.iterdir():
        if path.suffix != ".safetensors" and path.is_file():
            shutil.copy(path, directory)
    size = megabytes * 1_000_000
    header = f'{{"weight":{{"dtype":"U8","shape":[{size}],"data_offsets":[0,{size}]}}}}'.encode()
    header += b" " * (-len(header) % 8)
    block = os.urandom(1_000_000)
    with (directory / "model.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for number in range(megabytes):
            file.write(hashlib.sha256(number.to_bytes(4, "little")).digest() + block[32:])


def publish(platform: Platform, body: ServiceCreate) -> dict[str, Any]:
    """Publishes and waits: seconds until ready, CPU-seconds of the engine until then, estimate and peak memory."""
    client = platform.client
    started = time.monotonic()
    published = client.services.create(body)
    client.services.wait(published.service.name, timeout_seconds=900)
    seconds = time.monotonic() - started
    replica = next(r for r in client.services.replicas(published.service.name) if r.state == "ready")
    assert replica.pid is not None
    tree = [psutil.Process(replica.pid), *psutil.Process(replica.pid).children(recursive=True)]
    cpu = sum(sum(process.cpu_times()[:2]) for process in tree)
    # The reserve is not part of what the driver expects: it is added so that a peak beyond it does not end the engine.
    estimate = sum(part.bytes for part in published.plan.memory if part.name != "reserve")
    return {"seconds": seconds, "cpu_seconds": cpu, "estimate": estimate}


def publish_again_and_again(platform: Platform) -> tuple[dict[str, Any], dict[str, Any]]:
    """Figures of several times, and the last of them, which stays. The first finds the files of the model cold."""
    runs: list[dict[str, Any]] = []
    for number in range(PUBLISHES):
        runs.append(publish(platform, ServiceCreate(name=MODEL, spec=ServiceSpec(model=MODEL))))
        if number < PUBLISHES - 1:
            platform.client.services.delete(MODEL)
            eventually("the service is gone", lambda: not _names(platform), seconds=120)
    figures = with_spread("seconds", [run["seconds"] for run in runs])
    return figures | with_spread("cpu_seconds", [run["cpu_seconds"] for run in runs]), runs[-1]


def _names(platform: Platform) -> list[str]:
    return [service.name for service in platform.client.services.list()]


def fit_error(platform: Platform, name: str, key: str, estimate: int) -> dict[str, float]:
    """The estimate against the peak while the planned number of users fill their contexts at the same time."""
    service = platform.client.services.get(name)
    plan = platform.client.services.plan(ServiceCreate(name=f"{name}-again", spec=service.spec))

    def ask(words: int, answer_tokens: int) -> int:
        answer = platform.chat(key, name, "word " * words, max_tokens=answer_tokens)
        assert answer.status_code == 200, answer.text
        return answer.json()["usage"]["prompt_tokens"]

    few, many = ask(10, 1), ask(110, 1)
    words = int((plan.context_length - ANSWER_TOKENS - few) / ((many - few) / 100))
    with ThreadPoolExecutor(plan.users) as pool:
        filled = list(pool.map(lambda _: ask(words, ANSWER_TOKENS), range(plan.users)))
    time.sleep(SAMPLE_SECONDS)
    replica = next(r for r in platform.client.services.replicas(name) if r.state == "ready")
    measured = replica.memory_peak_bytes or 0
    return {
        "estimate_mib": round(estimate / 2**20),
        "measured_peak_mib": round(measured / 2**20),
        "error_percent": round(100 * (estimate - measured) / measured, 1) if measured else float("nan"),
        "users": plan.users,
        "context_length": plan.context_length,
        "prompt_tokens_each": min(filled),
    }


def gateway_added(platform: Platform, key: str) -> dict[str, Any]:
    """Milliseconds that the gateway adds to a one-token answer.

    Calls alternate between the engine and the gateway, one at a time, in many short rounds. p50 is the median of the
    rounds' differences; p99 is taken over all calls of a side, since a round is too short for it.
    """
    replica = next(r for r in platform.client.services.replicas(MODEL) if r.state == "ready")
    assert replica.address is not None
    direct = httpx.Client(
        transport=httpx.HTTPTransport(uds=replica.address.removeprefix("unix:")),
        base_url="http://engine",
        headers={"Authorization": f"Bearer {platform.engine_token(replica.id)}"},
        timeout=60,
        trust_env=False,
    )
    through = httpx.Client(
        base_url=platform.gateway_url, headers={"Authorization": f"Bearer {key}"}, timeout=60, trust_env=False
    )
    _round(direct, through, WARM_UP)
    rounds = [_round(direct, through, PAIRS) for _ in range(ROUNDS)]
    added = {
        "p50": (
            quartiles([_added(one, 0.5) for one in rounds]),
            lambda some: statistics.median(_added(one, 0.5) for one in some),
        ),
        "p99": (quartiles([_added(one, 0.99) for one in rounds]), lambda some: _added(_together(some), 0.99)),
    }
    figures: dict[str, Any] = {"rounds": ROUNDS, "requests_each_round": PAIRS, "order": "alternating call by call"}
    engine, ours = _together(rounds)
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        by_round, figure = added[name]
        figures[f"added_ms_{name}"] = round(figure(rounds), 4)
        figures[f"added_ms_{name}_spread"] = {"interval_95": interval(rounds, figure), "by_round": by_round}
        figures[f"direct_ms_{name}"] = round(percentile(engine, share), 4)
        figures[f"through_ms_{name}"] = round(percentile(ours, share), 4)
        figures[f"ratio_{name}"] = round(percentile(ours, share) / percentile(engine, share), 4)
    return figures


Times = tuple[list[float], list[float]]
"""Milliseconds of calls of the engine and, in the same order, of the gateway."""


def _round(direct: httpx.Client, through: httpx.Client, pairs: int) -> Times:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1, "temperature": 0}
    times: Times = ([], [])
    sides = list(zip((direct, through), times, strict=True))
    for number in range(pairs):
        for client, taken in sides if number % 2 else reversed(sides):
            started = time.perf_counter()
            response = client.post("/v1/chat/completions", json=body)
            taken.append((time.perf_counter() - started) * 1000)
            assert response.status_code == 200, response.text
    return times


def _added(times: Times, share: float) -> float:
    engine, ours = times
    return percentile(ours, share) - percentile(engine, share)


def _together(rounds: Sequence[Times]) -> Times:
    return [time for engine, _ in rounds for time in engine], [time for _, ours in rounds for time in ours]


def with_spread(name: str, values: Sequence[float]) -> dict[str, Any]:
    """The median under `name`, and how far the runs lie apart beside it."""
    found = spread(values)
    return {name: found["median"], f"{name}_spread": found}


def main() -> None:
    """Runs everything on one fresh data directory."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        platform = Platform(root / "data").start()
        client = platform.client
        key = client.keys.create("bench").secret
        figures: dict[str, Any] = {"note": NOTE}
        platform.stop()
        starts = []
        for _ in range(5):
            starts.append(up_seconds(platform, key))
            time.sleep(1)
            if len(starts) < 5:
                platform.stop()
        figures["up"] = with_spread("seconds", starts)
        time.sleep(10)
        figures["idle"] = idle_again_and_again(platform)
        write_large_model(root / "large", ROOT / "demo" / "model", 1000)
        figures["import"] = import_ratios(platform, root / "large")
        platform.import_demo(MODEL)
        platform.cli("engine", "install", "vllm")
        figures["publish"], vllm = publish_again_and_again(platform)
        eventually("routed", lambda: platform.chat(key, MODEL, "Hi", max_tokens=1).status_code == 200)
        figures["gateway"] = gateway_added(platform, key)
        errors = {"vllm": fit_error(platform, MODEL, key, vllm["estimate"])}
        platform.cli("service", "stop", MODEL)
        write_demo_gguf(root / "gguf")
        client = platform.client
        client.jobs.wait(client.models.import_directory("demo-gguf", root / "gguf").id)
        platform.cli("engine", "install", "llamacpp")
        gguf = publish(platform, ServiceCreate(name="demo-gguf", spec=ServiceSpec(model="demo-gguf")))
        eventually("routed", lambda: platform.chat(key, "demo-gguf", "Hi", max_tokens=1).status_code == 200)
        errors["llamacpp"] = fit_error(platform, "demo-gguf", key, gguf["estimate"])
        figures["fit"] = {"error_percent": {name: run["error_percent"] for name, run in errors.items()}, "runs": errors}
        figures["engines"] = {item.name: item.versions[0] for item in client.engines.list() if item.environments}
        platform.stop()
        write("spine", figures, ["httpx"])


if __name__ == "__main__":
    main()
