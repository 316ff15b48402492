"""`make demo-slices`: four small models as slices of this machine's processor, asked, measured, resized and taken down.

A platform of its own comes up in a directory that is removed afterwards, on free ports, beside whatever else runs here.
Processor time and memory are what the kernel counts for each slice's group; an answer is right when it equals plain
torch's within 1e-3, or, for images, when every character is read.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import httpx  # noqa: E402 the path is set above
from tests.support.platform import Platform, eventually  # noqa: E402
from tests.support.serving import FIRST_START_SECONDS, import_folder  # noqa: E402
from tests.support.small_models import Member, light_python, members  # noqa: E402

from aicp.core.launch import DeviceShare  # noqa: E402
from aicp.core.quantity import format_bytes  # noqa: E402
from aicp.core.replica import Replica  # noqa: E402
from aicp.core.service import Compute, ServiceCreate, ServiceSpec, ServiceUpdate  # noqa: E402
from aicp.core.slice import SliceSpec  # noqa: E402
from aicp.enforcers.cgroup import CgroupEnforcer  # noqa: E402

SLICES = {
    "minilm": SliceSpec(compute_percent=20),
    "faq-rerank": SliceSpec(compute_percent=10),
    "roberta-classifier": SliceSpec(compute_percent=10),
    "reader": SliceSpec(compute_percent=25),
}
"""The memory of each is what the platform estimates."""
RESIZED, TO_PERCENT = "minilm", 35
SECONDS = 8.0
_CALLERS = 2
_WARM_SECONDS = 1.0


@dataclass
class Caller:
    """Asks one service through the gateway again and again while it is on."""

    member: Member
    url: str
    key: str
    right: int = 0
    wrong: int = 0
    failed: int = 0
    _off: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Calls until told to stop."""
        headers = {"Authorization": f"Bearer {self.key}"}
        number = 0
        with httpx.Client(base_url=self.url, headers=headers, trust_env=False, timeout=120) as http:
            while not self._off.is_set():
                question = self.member.questions[number % len(self.member.questions)]
                answer = http.post(self.member.path, json=question.body)
                if answer.status_code != httpx.codes.OK:
                    self.failed += 1
                elif question.is_right(answer.json()):
                    self.right += 1
                else:
                    self.wrong += 1
                number += 1

    def stop(self) -> None:
        self._off.set()


@dataclass(frozen=True, slots=True)
class Row:
    """What one slice was seen to do."""

    name: str
    share: DeviceShare
    percent: float
    peak_bytes: int
    right: int
    wrong: int
    failed: int


def main() -> int:
    """Prints the table; 0 when every answer is right, every slice within its size, and no call failed."""
    if problem := CgroupEnforcer().unavailable():
        print(f"Slices of the processor cannot be held on this machine: {problem}.", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        platform = Platform(Path(folder) / "data")
        print("Bringing up a platform of its own ...", flush=True)
        try:
            platform.start()
            return _show(platform, Path(folder))
        finally:
            platform.stop()
            print("All is taken down again.", flush=True)


def _show(platform: Platform, place: Path) -> int:
    python = light_python()
    chosen = {member.name: member for member in members(place, python) if member.name in SLICES}
    keys = {name: _publish(platform, name, member.folder) for name, member in chosen.items()}
    for name, key in keys.items():
        _wait_for_gateway(platform, chosen[name], key)
    callers = [
        Caller(member, platform.gateway_url, keys[name]) for name, member in chosen.items() for _ in range(_CALLERS)
    ]
    print(f"All are asked by {_CALLERS} callers each for {SECONDS:.0f} s through the gateway ...", flush=True)
    with _calling(callers):
        rows = _measure(platform, list(chosen), callers)
    _print(rows)
    resized = _resize(platform, Caller(chosen[RESIZED], platform.gateway_url, keys[RESIZED]))
    fine = all(
        row.right and not row.wrong and not row.failed and row.percent <= row.share.compute_percent + 1 for row in rows
    )
    return 0 if fine and resized else 1


def _publish(platform: Platform, name: str, folder: Path) -> str:
    """The key of the service, once it serves."""
    part = SLICES[name]
    print(f"Publishing {name} in a slice of {part.compute_percent} % ...", flush=True)
    import_folder(platform, name, folder)
    spec = ServiceSpec(model=name, compute=Compute(slice=part))
    key = platform.client.services.create(ServiceCreate(name=name, spec=spec, create_key=True)).key
    platform.client.services.wait(name, timeout_seconds=FIRST_START_SECONDS)
    assert key is not None
    return key


def _wait_for_gateway(platform: Platform, member: Member, key: str) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    url, body = f"{platform.gateway_url}{member.path}", member.questions[0].body

    def answers() -> bool:
        return httpx.post(url, json=body, headers=headers, trust_env=False, timeout=120).status_code == httpx.codes.OK

    eventually(f"{member.name} answers", answers, seconds=60)


@contextmanager
def _calling(callers: Sequence[Caller]) -> Iterator[None]:
    threads = [threading.Thread(target=caller.run) for caller in callers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for caller in callers:
            caller.stop()
        for thread in threads:
            thread.join()


def _replica(platform: Platform, name: str) -> Replica:
    return next(one for one in platform.client.services.replicas(name) if one.ended_at is None)


def _measure(platform: Platform, names: Sequence[str], callers: Sequence[Caller]) -> list[Row]:
    replicas = {name: _replica(platform, name) for name in names}
    time.sleep(_WARM_SECONDS)
    percents = _percents(platform, [replica.id for replica in replicas.values()])
    rows: list[Row] = []
    for (name, replica), percent in zip(replicas.items(), percents, strict=True):
        assert replica.allocation is not None
        mine = [caller for caller in callers if caller.member.name == name]
        rows.append(
            Row(
                name,
                replica.allocation.devices[0],
                percent,
                CgroupEnforcer().usage(replica.id).memory_peak_bytes or 0,
                sum(caller.right for caller in mine),
                sum(caller.wrong for caller in mine),
                sum(caller.failed for caller in mine),
            )
        )
    return rows


def _percents(platform: Platform, groups: Sequence[str]) -> list[float]:
    """How much of the whole processor each group gets over the next seconds, as the kernel counts it."""
    enforcer, status = CgroupEnforcer(), platform.client.nodes.list()[0].status
    assert status is not None
    before = [enforcer.usage(group).cpu_seconds or 0.0 for group in groups]
    begin = time.monotonic()
    time.sleep(SECONDS)
    seconds = time.monotonic() - begin
    after = [enforcer.usage(group).cpu_seconds or 0.0 for group in groups]
    return [100 * (end - start) / seconds / status.cpu_cores for start, end in zip(before, after, strict=True)]


def _print(rows: Sequence[Row]) -> None:
    places = f"{'memory peak / cap':>26}{'right':>8}{'wrong':>7}{'failed':>8}"
    print(f"\n{'slice':<20}{'held by':<10}{'asked':>7}{'got':>9}{places}")
    for row in rows:
        memory = f"{format_bytes(row.peak_bytes)} / {format_bytes(row.share.memory_bytes)}"
        print(
            f"{row.name:<20}{row.share.mechanism or 'none':<10}{row.share.compute_percent:>5} %{row.percent:>7.1f} %"
            f"{memory:>26}{row.right:>8}{row.wrong:>7}{row.failed:>8}"
        )
    print("(got: at most what is asked; less where the machine is busy with other work)\n", flush=True)


def _resize(platform: Platform, caller: Caller) -> bool:
    """Gives a slice more while it is asked; whether the same process went on and no call failed."""
    before = _replica(platform, RESIZED)
    old, spec = SLICES[RESIZED], platform.client.services.get(RESIZED).spec
    with _calling([caller]):
        [small] = _percents(platform, [before.id])
        wider = old.model_copy(update={"compute_percent": TO_PERCENT})
        compute = spec.compute.model_copy(update={"slice": wider})
        changes = ServiceUpdate(spec=spec.model_copy(update={"compute": compute}))
        platform.client.services.update(RESIZED, changes)
        words = f"{TO_PERCENT} % of the card"
        eventually("the new size is held", lambda: words in " ".join(_replica(platform, RESIZED).limits))
        [large] = _percents(platform, [before.id])
    after = _replica(platform, RESIZED)
    print(
        f"{RESIZED} was resized under load from {old.compute_percent} % to {TO_PERCENT} %: it got {small:.1f} %, then "
        f"{large:.1f} %; the same process: {'yes' if after.pid == before.pid else 'no'}; calls: {caller.right} right, "
        f"{caller.wrong} wrong, {caller.failed} failed.",
        flush=True,
    )
    return after.pid == before.pid and not caller.wrong and not caller.failed


if __name__ == "__main__":
    sys.exit(main())
