"""The slice library against a stand-in for the driver: memory to the byte, shares by the device's own counters."""

from __future__ import annotations

import os
import signal
import struct
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from tests.support.fake_cuda import DEVICE_BYTES, DEVICES, FakeCuda, Tester, compiler, spin

from aicp.core.launch import Allocation, DeviceShare
from aicp.core.quantity import MIB
from aicp.core.slice import SlicePolicy
from aicp.enforcers.interposer import InterposerEnforcer
from aicp.enforcers.interposer import slice_file as files

OUT_OF_MEMORY, NOT_PERMITTED = 2, 800
KINDS = ("plain", "managed", "pitch", "async", "pool", "create", "map", "array", "solid", "mipmap")
LAUNCHES = ("kernel", "extended", "cooperative", "graph")
MODES = ("link", "dlsym", "address", "thread")

Start = Callable[..., Tester]


def allocation(*shares: DeviceShare) -> Allocation:
    return Allocation(node_id="node_1", devices=list(shares), cpu_cores=1, memory_bytes=0)


def share(
    percent: int = 100, memory: int = 512 * MIB, device: int = 0, policy: SlicePolicy = SlicePolicy.CAP
) -> DeviceShare:
    return DeviceShare(
        vendor="nvidia",
        device_id=DEVICES[device],
        index=device,
        compute_percent=percent,
        memory_bytes=memory,
        mechanism="interposer",
        policy=policy,
    )


@pytest.fixture(scope="module")
def cuda(tmp_path_factory: pytest.TempPathFactory) -> FakeCuda:
    if compiler() is None:
        pytest.skip("not run: there is no C compiler (Debian: apt-get install gcc)")
    return FakeCuda(tmp_path_factory.mktemp("cuda"))


@pytest.fixture
def enforcer(cuda: FakeCuda, tmp_path: Path) -> InterposerEnforcer:
    return cuda.enforcer(tmp_path / "slices")


@pytest.fixture
def start(cuda: FakeCuda, enforcer: InterposerEnforcer, tmp_path: Path) -> Iterator[Start]:
    """`start(share, ..., group=, mode=, device=)` begins a program in a slice; all end with the test."""
    begun: list[Tester] = []
    numbers = count()

    def begin(*shares: DeviceShare, group: str | None = None, mode: str = "link", device: int = 0) -> Tester:
        applied = enforcer.apply(group or f"rep_{next(numbers)}", allocation(*shares))
        assert applied.enforced, applied.note
        begun.append(cuda.start(tmp_path / "state", applied.env, mode, device))
        return begun[-1]

    yield begin
    for tester in begun:
        tester.kill()


def spoil_layout(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(8)
        file.write(struct.pack("=I", files.LAYOUT + 1))


def fill(tester: Tester, kind: str, bytes_each: int) -> int:
    """Allocates until it is refused; how often it was not."""
    for number in range(1000):
        result, _ = tester.ask("allocate", kind, bytes_each)
        if result != 0:
            assert result == OUT_OF_MEMORY
            return number
    raise AssertionError("nothing refuses memory")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", KINDS)
def test_memory_ends_at_the_limit_on_every_path(start: Start, kind: str, mode: str) -> None:
    tester = start(share(memory=64 * MIB), mode=mode)
    assert tester.ask("memory") == [64 * MIB, 64 * MIB, 64 * MIB]
    step = 8 * MIB
    each = step * 7 // 8 if kind == "mipmap" else step
    assert fill(tester, kind, step) == 64 * MIB // each
    held = 64 * MIB // each
    assert tester.ask("memory")[0] == 64 * MIB - held * each
    for number in range(held):
        assert tester.ask("release", "-", number) == [0]
    assert tester.ask("memory")[0] == 64 * MIB
    assert fill(tester, kind, step) == held


def test_processes_of_one_replica_share_its_memory_and_others_have_their_own(start: Start) -> None:
    first, second = (start(share(), group="rep_a") for _ in range(2))
    other = start(share(), group="rep_b")
    assert first.ask("allocate", "plain", 400 * MIB)[0] == 0
    assert second.ask("allocate", "plain", 200 * MIB)[0] == OUT_OF_MEMORY
    assert second.ask("allocate", "plain", 112 * MIB)[0] == 0
    assert other.ask("allocate", "plain", 512 * MIB)[0] == 0


def test_memory_of_a_killed_process_is_free_again(start: Start, enforcer: InterposerEnforcer) -> None:
    victim = start(share(), group="rep_a")
    assert victim.ask("allocate", "plain", 500 * MIB)[0] == 0
    witness = start(share(), group="rep_a")
    assert enforcer.usage("rep_a").accelerator_memory_bytes == 500 * MIB
    assert witness.ask("allocate", "plain", 100 * MIB)[0] == OUT_OF_MEMORY
    victim.kill()
    assert enforcer.usage("rep_a").accelerator_memory_bytes == 0
    assert witness.ask("allocate", "plain", 512 * MIB)[0] == 0


def test_what_the_driver_refuses_is_not_charged(start: Start, enforcer: InterposerEnforcer) -> None:
    tester = start(share(memory=DEVICE_BYTES * 2), group="rep_a")
    assert tester.ask("allocate", "plain", DEVICE_BYTES + MIB)[0] == OUT_OF_MEMORY
    assert tester.ask("allocate", "plain", 0)[0] != 0
    assert enforcer.usage("rep_a").accelerator_memory_bytes == 0


def test_a_destroyed_context_gives_its_memory_back(start: Start) -> None:
    tester = start(share(percent=50))
    before, after = tester.ask("context", "-", 100 * MIB)
    assert before == after == 512 * MIB
    assert tester.ask("allocate", "plain", 100 * MIB)[0] == 0
    assert tester.ask("reset") == [0]
    assert tester.ask("memory")[0] == 512 * MIB


def test_nvml_shows_the_slice(start: Start) -> None:
    tester = start(share())
    tester.ask("allocate", "plain", 100 * MIB)
    assert tester.ask("nvml") == [512 * MIB, 100 * MIB, 412 * MIB] * 2


def test_a_device_that_is_not_sliced_is_left_alone(start: Start) -> None:
    tester = start(share(device=1), device=0)
    assert tester.ask("memory") == [DEVICE_BYTES, DEVICE_BYTES, DEVICE_BYTES]
    assert tester.ask("allocate", "create", DEVICE_BYTES)[0] == 0


def test_each_device_has_its_own_limit(start: Start) -> None:
    shares = (share(memory=100 * MIB), share(memory=200 * MIB, device=1))
    tester = start(*shares, device=1)
    assert tester.ask("memory")[1] == 200 * MIB
    assert tester.ask("allocate", "create", 200 * MIB)[0] == 0
    assert tester.ask("allocate", "plain", MIB)[0] == OUT_OF_MEMORY


def test_limits_change_while_the_program_runs(start: Start, enforcer: InterposerEnforcer) -> None:
    tester = start(share(memory=100 * MIB), group="rep_a")
    assert tester.ask("allocate", "plain", 100 * MIB)[0] == 0
    enforcer.apply("rep_a", allocation(share(memory=150 * MIB)))
    assert tester.ask("memory")[:2] == [50 * MIB, 150 * MIB]
    assert tester.ask("allocate", "plain", 50 * MIB)[0] == 0
    enforcer.apply("rep_a", allocation(share(memory=120 * MIB)))
    assert tester.ask("memory")[:2] == [0, 120 * MIB]
    assert tester.ask("allocate", "plain", MIB)[0] == OUT_OF_MEMORY


def test_the_child_of_a_fork_counts_for_itself(start: Start) -> None:
    tester = start(share(percent=50))
    assert tester.ask("allocate", "plain", 300 * MIB)[0] == 0
    assert tester.ask("launch", "kernel", 10) == [0]
    assert tester.ask("fork", "-", 300 * MIB) == [OUT_OF_MEMORY, 0, 212 * MIB]
    assert tester.ask("fork", "-", 200 * MIB) == [0, 0, 12 * MIB]
    assert tester.ask("memory")[0] == 212 * MIB
    assert tester.ask("launch", "kernel", 10) == [0]


def test_threads_that_allocate_and_launch_at_once_leave_nothing_behind(start: Start) -> None:
    tester = start(share(percent=60), group="rep_a")
    other = start(share(percent=40), group="rep_a")
    other.send("threads", "-", 4)
    assert tester.ask("threads", "-", 8) == [0]
    assert other.answer() == ["0"]
    assert tester.ask("memory")[0] == 512 * MIB


def test_symbols_that_are_not_the_drivers_are_found_as_ever(start: Start) -> None:
    assert start(share()).ask("next") == [1]


def test_without_a_slice_the_library_does_nothing(cuda: FakeCuda, tmp_path: Path) -> None:
    tester = cuda.start(tmp_path / "state", {"LD_PRELOAD": str(cuda.library)}, "address")
    assert tester.ask("memory") == [DEVICE_BYTES, DEVICE_BYTES, DEVICE_BYTES]
    assert tester.ask("launch", "graph", 10) == [0]
    tester.kill()


@pytest.mark.parametrize("damage", ["layout", "short", "foreign", "gone"])
def test_a_file_that_does_not_fit_is_refused_and_not_touched(
    cuda: FakeCuda, enforcer: InterposerEnforcer, tmp_path: Path, damage: str
) -> None:
    env = enforcer.apply("rep_a", allocation(share())).env
    path = Path(env["AICP_SLICE"])
    body = bytearray(path.read_bytes())
    if damage == "layout":
        struct.pack_into("=I", body, 8, files.LAYOUT + 1)
    elif damage == "short":
        del body[100:]
    elif damage == "foreign":
        body[:8] = b"anything"
    path.write_bytes(body)
    if damage == "gone":
        path.unlink()
    tester = cuda.start(tmp_path / "state", env)
    assert tester.began == NOT_PERMITTED
    assert tester.ask("allocate", "plain", MIB)[0] == NOT_PERMITTED
    assert tester.ask("launch", "kernel", 1) == [NOT_PERMITTED]
    assert "this process gets no accelerator" in tester.end()
    assert not path.exists() if damage == "gone" else path.read_bytes() == body


def test_two_layouts_do_not_meet_on_a_device(start: Start, enforcer: InterposerEnforcer) -> None:
    running = start(share(percent=50), group="rep_a")
    directory = Path(enforcer.apply("rep_a", allocation(share(50))).env["AICP_SLICE"]).parent
    for path in [*directory.glob("*.slice"), *directory.glob("*.card")]:
        spoil_layout(path)
        path.rename(path.with_name(path.name.replace(f".{files.LAYOUT}.", f".{files.LAYOUT + 1}.")))
    assert running.ask("launch", "kernel", 1) == [NOT_PERMITTED], "its device's file is another version's now"
    refused = enforcer.apply("rep_b", allocation(share()))
    assert not refused.enforced
    assert "another version" in refused.note
    enforcer.release("rep_a")
    assert enforcer.apply("rep_b", allocation(share())).enforced, "nobody is left who knows the old layout"
    assert [path.name for path in directory.glob("*.card")] == [enforcer._card(DEVICES[0]).name]


def test_an_engine_that_writes_into_its_files_keeps_nobody_from_the_device(
    start: Start, enforcer: InterposerEnforcer
) -> None:
    running = start(share(percent=50), group="rep_a")
    card = enforcer._card(DEVICES[0])
    for path in (card, enforcer._slice("rep_a")):
        spoil_layout(path)
    before = card.stat().st_ino
    other = start(share(percent=50), group="rep_b")
    assert other.ask("launch", "kernel", 1) == [0]
    assert running.ask("launch", "kernel", 1) == [0], "and both have the same file"
    assert card.stat().st_ino == before


@pytest.mark.parametrize("length", [0, 100, files.CARD_BYTES - 1, files.CARD_BYTES + 1])
def test_a_device_file_of_another_length_is_made_anew(start: Start, enforcer: InterposerEnforcer, length: int) -> None:
    start(share())
    os.truncate(enforcer._card(DEVICES[0]), length)
    assert start(share()).ask("launch", "kernel", 1) == [0]


def test_a_slice_that_was_cut_short_is_made_anew(start: Start, enforcer: InterposerEnforcer) -> None:
    start(share(), group="rep_a").end()
    os.truncate(enforcer._slice("rep_a"), files.SLICE_BYTES - 1)
    assert start(share(), group="rep_a").ask("launch", "kernel", 1) == [0]


def test_the_order_of_the_devices_is_the_files(start: Start, enforcer: InterposerEnforcer) -> None:
    tester = start(share(memory=100 * MIB), share(memory=200 * MIB, device=1), group="rep_a", device=1)
    assert tester.ask("allocate", "plain", 150 * MIB)[0] == 0
    enforcer.apply("rep_a", allocation(share(memory=300 * MIB, device=1), share(memory=50 * MIB)))
    assert tester.ask("memory")[:2] == [150 * MIB, 300 * MIB]
    assert enforcer.usage("rep_a").accelerator_memory_bytes == 150 * MIB
    enforcer.apply("rep_a", allocation(share(memory=100 * MIB), share(memory=160 * MIB, device=1)))
    assert tester.ask("memory")[:2] == [10 * MIB, 160 * MIB]


def test_the_layout_is_the_librarys(start: Start) -> None:
    assert start(share()).ask("layout") == [
        files.LAYOUT,
        files.SLICE_BYTES,
        files.CARD_BYTES,
        files._COUNT_AT,
        files._DEVICES_AT,
        files._DEVICE.size,
        files._MEMORY_AT,
        files._PERCENT_AT,
        files._POLICY_AT,
        files._DEVICE.size - 8,
        files._PROCESSES_AT,
        files._PROCESS.size,
    ]


def test_release_removes_the_slice_and_the_note_says_what_is_held(enforcer: InterposerEnforcer) -> None:
    weighted = share(30, 2048 * MIB, policy=SlicePolicy.WEIGHT).model_copy(update={"rounding": "30 % became 31 %"})
    applied = enforcer.apply("rep_a", allocation(weighted))
    assert applied.note == (
        f"accelerator slices by interposer: at least 30 % of compute and 2 GiB of {DEVICES[0]} (30 % became 31 %)"
    )
    path = Path(applied.env["AICP_SLICE"])
    assert {str(path), *applied.writable} == set(applied.writable)
    assert applied.readable == (applied.env["LD_PRELOAD"],)
    assert enforcer.release("rep_a")
    assert not path.exists()


def test_why_it_is_not_available(tmp_path: Path) -> None:
    assert "not built" in (InterposerEnforcer(tmp_path, tmp_path / "nothing.so").unavailable() or "")
    assert "space" in (InterposerEnforcer(tmp_path, tmp_path / "a b.so").unavailable() or "")
    refused = InterposerEnforcer(tmp_path, tmp_path / "nothing.so").apply("rep_a", allocation(share()))
    assert not refused.enforced
    assert "not built" in refused.note


# shares of the device's time ------------------------------------------------------------------------------------------

ATTEMPTS = 4
"""On a machine whose processors are taken, a program that has the turn may not get to run; no share grows by that."""


def errors(got: dict[str, float], asked: dict[str, int]) -> dict[str, float]:
    """By how many points each is off, beyond what is allowed: one point or 12 % of what is asked."""
    return {name: round(abs(got[name] - want) - max(1.0, 0.12 * want), 2) for name, want in asked.items()}


def best(tester: Tester, enough: float, seconds: float = 0.7) -> float:
    """The largest share that it gets in a few attempts, or the first that is enough."""
    got = 0.0
    for _ in range(ATTEMPTS + 2):
        got = max(got, spin({"it": tester}, "kernel", 500, seconds)["it"])
        if got > enough:
            break
    return got


def check_shares(
    start: Start, percents: list[int], kind: str = "kernel", grid: int = 500, seconds: float = 2.0
) -> None:
    asked = {f"{number}:{percent}": percent for number, percent in enumerate(percents)}
    testers = {name: start(share(percent, 64 * MIB)) for name, percent in asked.items()}
    for attempt in range(ATTEMPTS):
        got = spin(testers, kind, grid, seconds)
        assert all(got[name] < want + max(1.0, 0.12 * want) for name, want in asked.items()), (got, "a share is a cap")
        if max(errors(got, asked).values()) <= 0:
            return
        assert attempt < ATTEMPTS - 1, got


@pytest.mark.parametrize("percents", [[30, 70], [1, 5, 10, 50], [5, 5, 10, 10, 10, 15, 20, 25]])
def test_programs_that_want_everything_get_their_shares(start: Start, percents: list[int]) -> None:
    check_shares(start, percents)


@pytest.mark.parametrize("kind", LAUNCHES)
def test_every_kind_of_launch_is_held_back(start: Start, kind: str) -> None:
    check_shares(start, [20], kind, 100, 0.7)


@pytest.mark.parametrize("mode", MODES)
def test_launches_are_held_back_on_every_path(start: Start, mode: str) -> None:
    tester = start(share(20, 64 * MIB), mode=mode)
    got = spin({"it": tester}, "kernel", 500, 0.7)["it"]
    assert 0 < got < 22.4


def test_a_weight_borrows_what_others_leave_and_gives_it_back(start: Start) -> None:
    first = start(share(30, 64 * MIB, policy=SlicePolicy.WEIGHT))
    assert best(first, 60) > 60, "alone it may have all"
    second = start(share(60, 64 * MIB, policy=SlicePolicy.WEIGHT))
    got = spin({"first": first, "second": second}, "kernel", 500, 2.0)
    assert got["second"] / got["first"] == pytest.approx(2, rel=0.25), "by weight"


def test_a_share_changes_while_the_program_runs(start: Start, enforcer: InterposerEnforcer) -> None:
    tester = start(share(10, 64 * MIB), group="rep_a")
    assert spin({"it": tester}, "kernel", 500, 0.7)["it"] < 13
    enforcer.apply("rep_a", allocation(share(50, 64 * MIB)))
    assert 40 < best(tester, 40) < 60
    enforcer.apply("rep_a", allocation(share(100, 64 * MIB)))
    assert best(tester, 75) > 75


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_program_that_is_killed_or_stopped_does_not_keep_the_device(start: Start, number: signal.Signals) -> None:
    victim, survivor = (start(share(50, 64 * MIB)) for _ in range(2))
    victim.send("spin", "kernel", 500, 1 << 62)
    assert spin({"survivor": survivor}, "kernel", 500, 0.3)["survivor"] > 0
    victim.process.send_signal(number)
    assert best(survivor, 40) > 40
