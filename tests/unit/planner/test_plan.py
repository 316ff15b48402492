"""Plans: what is chosen, why, and what would fit instead."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.runner import make_node_status
from tests.support.services import SmallEngine, make_version

from aicp.accelerators.simulated import SimulatedDriver
from aicp.core.accelerator import Accelerator
from aicp.core.errors import InvalidError
from aicp.core.model import Model, ModelFormat, ModelType, ModelVersion, Visibility
from aicp.core.node import EnvironmentState, EnvironmentStatus, Node, NodeState
from aicp.core.quantity import GIB, MIB, parse_bytes
from aicp.core.registry import Registry
from aicp.core.service import Compute, Fit, ServiceSpec
from aicp.core.slice import SliceSpec, Slicing
from aicp.engines.base import Engine
from aicp.planner.plan import Planned, PlanRequest, make_plan
from aicp.store.pools import make_snapshot

AT = datetime(2026, 1, 1, tzinfo=UTC)
ENGINE = SmallEngine()


def make_node(status=None) -> Node:
    status = status or make_node_status()
    return Node(
        id=status.node_id, name=status.hostname, pool="default", state=NodeState.READY, address="", created_at=AT,
        status=status,
    )  # fmt: skip


def plan(spec: ServiceSpec, version: ModelVersion | None = None, *, nodes=None, engines=None) -> Planned:
    version = version or make_version()
    model = Model(
        id="m", name=version.model, type=ModelType.CHAT, visibility=Visibility.PUBLIC, project="default",
        created_at=AT, updated_at=AT,
    )  # fmt: skip
    nodes = [make_node()] if nodes is None else nodes
    request = PlanRequest("chat", spec, model, version)
    return make_plan(request, nodes, make_snapshot(nodes, []), engines or {"small": ENGINE})


def choice(planned: Planned, name: str):
    return next(item for item in planned.plan.choices if item.name == name)


@pytest.mark.parametrize("said", [{}, ServiceSpec(model="demo").model_dump()], ids=["left out", "said as the default"])
def test_nothing_asked_everything_chosen_with_a_reason(said: dict[str, Any]):
    planned = plan(ServiceSpec.model_validate({**said, "model": "demo"}))
    assert planned.plan.fit.fits
    assert (planned.plan.engine, planned.plan.engine_version, planned.plan.variant) == ("small", "2.0", "cpu")
    assert planned.plan.node == "node-a"
    assert all(item.reason for item in planned.plan.choices)
    assert {item.chosen_by for item in planned.plan.choices} == {"platform"}
    assert planned.plan.memory_bytes == sum(part.bytes for part in planned.plan.memory)
    assert planned.requirement.memory_bytes == planned.plan.memory_bytes
    assert "2 x 4 layers x 2 heads x 64 x 2 bytes" in choice(planned, "context_length").reason


def test_what_the_user_asks_is_kept_and_said():
    planned = plan(ServiceSpec(model="demo", users=3, context_length=1000, compute=Compute(cpu_cores=1.5), replicas=2))
    assert (planned.plan.users, planned.plan.context_length, planned.plan.cpu_cores) == (3, 1000, 1.5)
    assert choice(planned, "users").chosen_by == "user"


def test_defaults_shrink_until_they_fit_users_first():
    small = make_node(make_node_status(memory_bytes=int(2.2 * GIB)))
    planned = plan(ServiceSpec(model="demo"), nodes=[small])
    assert planned.plan.fit.fits
    assert (planned.plan.users, planned.plan.context_length) == (16, 8192)
    tiny = make_node(make_node_status(memory_bytes=int(1.85 * GIB)))
    planned = plan(ServiceSpec(model="demo"), nodes=[tiny])
    assert planned.plan.fit.fits
    assert planned.plan.users < 16
    assert "made smaller to fit" in choice(planned, "users").reason


def test_what_was_asked_does_not_shrink_and_what_would_fit_is_found():
    planned = plan(ServiceSpec(model="demo", users=16, context_length=32768), make_version(weight_bytes=17 * GIB))
    fit = planned.plan.fit
    assert not fit.fits
    assert fit.reason.startswith("No node in pool default has 19.8 GiB free (largest: 16 GiB on node node-a).")
    assert "weights 17 GiB + kv cache 512 MiB + engine overhead 512 MiB" in fit.reason
    assert any("an int8 version of the model (about 8.5 GiB" in item for item in fit.suggestions)
    planned = plan(ServiceSpec(model="demo", users=600, context_length=32768))
    assert planned.plan.fit.suggestions[:2] == ["300 users", "context 16384"]


def test_too_little_memory_given_is_said_with_the_sum():
    planned = plan(ServiceSpec(model="demo", compute=Compute(memory_bytes=GIB)))
    assert not planned.plan.fit.fits
    assert "1 GiB were given" in planned.plan.fit.reason


def test_more_replicas_than_fit():
    planned = plan(ServiceSpec(model="demo", replicas=9))
    assert not planned.plan.fit.fits
    assert planned.plan.fit.suggestions[0] == "8 instead of 9 replicas"


def test_an_installed_version_is_preferred_to_a_newer_one():
    environment = EnvironmentStatus(engine="small", version="1.0", variant="cpu", state=EnvironmentState.INSTALLED)
    status = make_node_status().model_copy(update={"environments": [environment]})
    planned = plan(ServiceSpec(model="demo"), nodes=[make_node(status)])
    assert (planned.plan.engine_version, planned.plan.environment_installed) == ("1.0", True)
    planned = plan(ServiceSpec(model="demo", engine_version="2.0"), nodes=[make_node(status)])
    assert (planned.plan.engine_version, planned.plan.environment_installed) == ("2.0", False)


def test_accelerators_come_before_the_cpu_and_as_many_as_hold_it():
    cards = [
        Accelerator(vendor="nvidia", index=index, device_id=f"gpu-{index}", product="L4", memory_bytes=24 * GIB)
        for index in range(4)
    ]
    status = make_node_status()
    status = status.model_copy(update={"accelerators": [*status.accelerators, *cards]})
    planned = plan(ServiceSpec(model="demo"), make_version(weight_bytes=40 * GIB), nodes=[make_node(status)])
    assert planned.plan.fit.fits
    assert (planned.requirement.vendor, planned.requirement.accelerators) == ("nvidia", 4)
    assert planned.plan.accelerators == ["gpu-0", "gpu-1", "gpu-2", "gpu-3"]
    planned = plan(ServiceSpec(model="demo", compute=Compute(vendor="cpu")), nodes=[make_node(status)])
    assert planned.requirement.vendor == "cpu"


def test_internal_engines_are_never_chosen_but_may_be_asked_for():
    engines = {"echo": SmallEngine(name="echo", internal=True), "small": ENGINE}
    assert plan(ServiceSpec(model="demo"), engines=engines).plan.engine == "small"
    assert plan(ServiceSpec(model="demo", engine="echo"), engines=engines).plan.engine == "echo"


def test_no_engine_for_a_format_names_every_reason():
    with pytest.raises(InvalidError) as refused:
        plan(ServiceSpec(model="demo"), make_version(format=ModelFormat.GGUF))
    assert refused.value.code == "no_engine"
    assert refused.value.hint == "small on cpu: wrong format"


def test_without_a_node_the_plan_says_so():
    with pytest.raises(InvalidError) as refused:
        plan(ServiceSpec(model="demo"), nodes=[])
    assert "No node of the pool has registered yet" in (refused.value.hint or "")


def with_simulated() -> Node:
    status = make_node_status()
    devices = [*status.accelerators, *SimulatedDriver([("H100", 4)]).discover()]
    return make_node(status.model_copy(update={"accelerators": devices}))


def test_nothing_comes_to_a_simulated_accelerator_by_itself():
    echo = Registry[Engine]("aicp.engines").get("echo")
    for engines, spec in (({"small": ENGINE}, {}), ({"echo": echo}, {"engine": "echo"})):
        planned = plan(ServiceSpec(model="demo", **spec), nodes=[with_simulated()], engines=engines)
        assert planned.requirement.vendor == "cpu"


@pytest.mark.parametrize("compute", [{"vendor": "simulated"}, {"vendor": "simulated", "accelerators": 2}])
def test_a_real_engine_on_simulated_accelerators_is_refused_with_the_reason(compute: dict[str, Any]):
    with pytest.raises(InvalidError) as caught:
        plan(ServiceSpec(model="demo", compute=Compute(**compute)), nodes=[with_simulated()])
    assert caught.value.hint == "small on simulated: these accelerators are simulated, and it needs real ones"


def test_accelerators_without_a_vendor_are_never_simulated_ones():
    with pytest.raises(InvalidError) as caught:
        plan(ServiceSpec(model="demo", compute=Compute(accelerators=2)), nodes=[with_simulated()])
    assert "--vendor simulated" in (caught.value.hint or "")


def test_the_echo_engine_shows_a_placement_there():
    echo = Registry[Engine]("aicp.engines").get("echo")
    spec = ServiceSpec(model="demo", engine="echo", compute=Compute(vendor="simulated", accelerators=2))
    planned = plan(spec, nodes=[with_simulated()], engines={"echo": echo})
    assert planned.plan.fit.fits
    assert planned.plan.accelerators == ["simulated-0-h100", "simulated-1-h100"]
    assert "(simulated)" in str(choice(planned, "accelerators").value)


def cards_to_cut(memory: int = 24 * GIB) -> Node:
    way = Slicing(mechanism="mps", memory_unit_bytes=MIB, at_most=48)
    cards = [
        Accelerator(
            vendor="nvidia", index=index, device_id=f"gpu-{index}", product="L20", memory_bytes=memory, slicing=[way]
        )
        for index in range(2)
    ]
    status = make_node_status()
    return make_node(status.model_copy(update={"accelerators": [*status.accelerators, *cards]}))


@pytest.mark.parametrize("weights", [GIB, 9 * GIB + 200 * MIB, 17 * GIB, 100 * GIB, 180 * GIB])
@pytest.mark.parametrize(
    ("sliced", "compute"),
    [
        (True, {"vendor": "nvidia"}),
        (True, {"vendor": "nvidia", "accelerators": 2}),
        (True, {"vendor": "cpu"}),
        (False, {"vendor": "cpu"}),
    ],
)
def test_the_memory_that_is_suggested_is_enough(sliced: bool, compute: dict[str, Any], weights: int):
    version = make_version(weight_bytes=weights)

    def fit(memory: int) -> Fit:
        own: dict[str, Any] = (
            {"slice": SliceSpec(compute_percent=10, memory_bytes=memory)} if sliced else {"memory_bytes": memory}
        )
        spec = ServiceSpec(model="demo", context_length=4096, users=3, compute=Compute(**compute, **own))
        return plan(spec, version, nodes=[cards_to_cut(300 * GIB)]).plan.fit

    [hint] = [item for item in fit(GIB // 2).suggestions if item.startswith("memory ")]
    after = fit(parse_bytes(hint.removeprefix("memory ")))
    assert "were given" not in after.reason, (hint, after)


def test_a_smaller_format_is_suggested_where_its_slice_fits():
    spec = ServiceSpec(
        model="demo", context_length=4096, users=4,
        compute=Compute(vendor="nvidia", slice=SliceSpec(compute_percent=50)),
    )  # fmt: skip
    fit = plan(spec, make_version(weight_bytes=30 * GIB), nodes=[cards_to_cut()]).plan.fit
    assert not fit.fits
    assert "an int8 version of the model (about 15 GiB of weights)" in fit.suggestions
    given = spec.model_copy(
        update={"compute": Compute(vendor="nvidia", slice=SliceSpec(compute_percent=50, memory_bytes=40 * GIB))}
    )
    fit = plan(given, make_version(weight_bytes=30 * GIB), nodes=[cards_to_cut()]).plan.fit
    assert not any("int8" in item for item in fit.suggestions), "the slice stays as large as it was asked"


class WideEngine(SmallEngine):
    """One that divides its weights over up to three nodes."""

    def spans(self, version: ModelVersion, vendor: str, nodes: int) -> str | None:
        return "it has three parts" if nodes > 3 else None

    def estimate(self, version, model_type, mode, sizing):
        return [
            part.model_copy(update={"bytes": part.bytes // sizing.nodes})
            for part in super().estimate(version, model_type, mode, sizing)
        ]


def cluster(count: int) -> list[Node]:
    return [make_node(make_node_status(f"node_{number}", memory_bytes=16 * GIB)) for number in range(count)]


def test_what_fits_on_no_single_node_names_how_many_would_do_and_is_not_spread_unasked():
    version = make_version(weight_bytes=30 * GIB)
    engines = {"small": WideEngine()}
    refused = plan(ServiceSpec(model="demo"), version, nodes=cluster(4), engines=engines)
    assert not refused.plan.fit.fits
    assert refused.requirement.nodes == 1
    assert "nodes 3, whose engines then speak to each other unencrypted" in refused.plan.fit.suggestions
    asked = plan(ServiceSpec(model="demo", compute=Compute(nodes=3)), version, nodes=cluster(4), engines=engines)
    assert asked.plan.fit.fits
    assert asked.requirement.nodes == 3
    assert str(choice(asked, "node").value).count("node-") == 3
    assert (choice(asked, "nodes").value, choice(asked, "nodes").chosen_by) == (3, "user")


def test_of_a_single_node_engine_nothing_over_nodes_is_promised():
    version = make_version(weight_bytes=30 * GIB)
    alone = plan(ServiceSpec(model="demo"), version, nodes=cluster(4))
    assert not any("nodes" in item for item in alone.plan.fit.suggestions)
    with pytest.raises(InvalidError) as refused:
        plan(ServiceSpec(model="demo", compute=Compute(nodes=2)), version, nodes=cluster(4))
    assert "one replica of it runs on one node" in str(refused.value.hint)
    with pytest.raises(InvalidError) as parts:
        plan(ServiceSpec(model="demo", compute=Compute(nodes=4)), nodes=cluster(4), engines={"small": WideEngine()})
    assert "it has three parts" in str(parts.value.hint)


def test_more_nodes_than_there_are_do_not_fit_in_words():
    asked = plan(ServiceSpec(model="demo", compute=Compute(nodes=3)), nodes=cluster(2), engines={"small": WideEngine()})
    assert not asked.plan.fit.fits
    assert "3 nodes were asked, and pool default has 2" in asked.plan.fit.reason


def test_a_part_of_an_accelerator_and_several_nodes_are_refused():
    with pytest.raises(ValueError, match="leave the slice out"):
        Compute(nodes=2, slice=SliceSpec(compute_percent=10))
