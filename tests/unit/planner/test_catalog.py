"""Whether a well-known model would run, before it has been imported."""

from __future__ import annotations

from aicp.core.catalog import CatalogModel
from aicp.core.launch import Allocation
from aicp.core.model import ModelType
from aicp.core.quantity import GIB
from aicp.planner.catalog import judge_catalog
from aicp.scheduler.placement import Commitment, Device, NodeCapacity, Snapshot


def model(gib: float, dtype: str = "bfloat16", type: ModelType = ModelType.CHAT) -> CatalogModel:
    return CatalogModel(
        name="m",
        title="M",
        family="f",
        type=type,
        parameters=1,
        dtype=dtype,
        weight_bytes=int(gib * GIB),
        context_length=4096,
        license="mit",
    )


def pool(cards: int = 0, card_gib: int = 24, host_gib: int = 16) -> Snapshot:
    cpu = Device("cpu", "cpu-0", 0, "A processor", host_gib * GIB)
    devices = tuple(Device("nvidia", f"gpu-{n}", n, "A card", card_gib * GIB) for n in range(cards))
    return Snapshot((NodeCapacity("n1", "one", "default", 8, host_gib * GIB, (cpu, *devices)),))


def test_the_fewest_accelerators_that_hold_it_as_published():
    fit = judge_catalog(model(8), True, "default", pool(cards=4))
    assert (fit.fits, fit.vendor, fit.accelerators, fit.quantization) == (True, "nvidia", 1, None)
    assert (fit.product, fit.largest_bytes) == ("A card", 24 * GIB)
    assert judge_catalog(model(30), True, "default", pool(cards=4)).accelerators == 2


def test_a_smaller_format_only_where_the_published_one_does_not_fit():
    fit = judge_catalog(model(26), True, "default", pool(cards=1))
    assert (fit.fits, fit.accelerators, fit.quantization) == (True, 1, "int8")
    assert "int8" in fit.reason
    assert judge_catalog(model(50), True, "default", pool(cards=1, card_gib=32)).quantization == "int4"
    assert not judge_catalog(model(28, dtype="mxfp4"), True, "default", pool(cards=1)).fits


def test_the_processor_serves_what_its_memory_holds():
    fit = judge_catalog(model(8), True, "default", pool())
    assert (fit.fits, fit.vendor, fit.accelerators) == (True, "cpu", 1)
    assert fit.largest_bytes == 16 * GIB


def test_what_runs_now_does_not_count():
    held = Allocation(node_id="n1", devices=[], cpu_cores=1, memory_bytes=15 * GIB)
    busy = pool().plus(Commitment("r", "s", held))
    assert judge_catalog(model(8), True, "default", busy).fits


def test_what_does_not_fit_is_told_with_the_numbers():
    fit = judge_catalog(model(400), True, "default", pool(cards=2))
    assert not fit.fits
    assert fit.needed_bytes > 400 * GIB
    assert fit.largest_bytes == 24 * GIB
    assert "GiB" in fit.reason
    assert not judge_catalog(model(1), True, "other", pool(cards=2)).fits


def test_a_type_that_no_engine_serves_fits_nowhere():
    fit = judge_catalog(model(1, type=ModelType.VISION), False, "default", pool(cards=2))
    assert (fit.fits, fit.reason) == (False, "No engine of this platform serves models of type vision.")


def test_simulated_accelerators_run_nothing():
    cpu = Device("cpu", "cpu-0", 0, "A processor", 16 * GIB)
    made_up = Device("simulated", "simulated-0-h200", 0, "A card (simulated)", 141 * GIB)
    snapshot = Snapshot((NodeCapacity("n1", "one", "default", 8, 16 * GIB, (cpu, made_up)),))
    fit = judge_catalog(model(100), True, "default", snapshot)
    assert (fit.fits, fit.largest_bytes) == (False, 16 * GIB)
    assert judge_catalog(model(8), True, "default", snapshot).vendor == "cpu"
