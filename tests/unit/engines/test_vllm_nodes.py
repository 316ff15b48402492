"""What each member of a vLLM replica over several nodes is told."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.engines import make_request, make_version

from aicp.core.errors import InvalidError
from aicp.core.launch import Allocation, DeviceShare, LaunchSpec
from aicp.core.model import Architecture, ModelType
from aicp.core.quantity import GIB
from aicp.core.registry import Registry
from aicp.core.service import Mode
from aicp.engines.base import Engine, LaunchRequest, Sizing, SpansNodes

ENGINE = Registry[Engine]("aicp.engines").get("vllm")


def request(nodes: int = 2, cards: int = 0, rank: int = 0, **more: object) -> LaunchRequest:
    devices = [DeviceShare(vendor="nvidia", device_id=f"GPU-{index}", index=index) for index in range(cards)]
    given = Allocation(node_id="n", devices=devices, cpu_cores=2, memory_bytes=4 * GIB)
    made = make_request(allocation=given, variant="cuda" if cards else "cpu", rank=rank, **more)
    sizing = replace(made.sizing, nodes=nodes, vendor="nvidia" if cards else "cpu")
    return replace(made, sizing=sizing)


def told(spec: LaunchSpec, option: str) -> str | None:
    words = spec.command
    return words[words.index(option) + 1] if option in words else None


def test_the_leader_answers_and_followers_only_compute() -> None:
    leader, follower = (ENGINE.launch(request(rank=rank)) for rank in (0, 1))
    for spec in (leader, follower):
        assert told(spec, "--nnodes") == "2"
        assert (told(spec, "--node-rank"), told(spec, "--master-addr")) == ("{rank}", "{leader}")
        assert told(spec, "--master-port") == "{group_port}"
        assert told(spec, "--distributed-executor-backend") == "mp"
        assert spec.env["VLLM_HOST_IP"] == "{address}"
        assert spec.env["GLOO_SOCKET_IFNAME"] == spec.env["NCCL_SOCKET_IFNAME"] == "{interface}"
    assert (leader.listen, told(leader, "--uds"), leader.health.path) == ("unix", "{listen}", "/health")
    assert "--headless" not in leader.command
    assert "--headless" in follower.command
    assert (follower.listen, follower.health.path) == ("none", "")
    assert {"--uds", "--kv-events-config"}.isdisjoint(follower.command)
    assert "--headless" in follower.network_command


def test_on_one_node_nothing_is_said_of_others() -> None:
    spec = ENGINE.launch(make_request())
    assert not {"--nnodes", "--headless", "--master-addr"}.intersection(spec.command)
    assert not {"VLLM_HOST_IP", "GLOO_SOCKET_IFNAME"}.intersection(spec.env)
    assert told(spec, "--distributed-executor-backend") == "uni"


def test_cards_of_a_node_share_layers_and_nodes_are_stages() -> None:
    spec = ENGINE.launch(request(nodes=3, cards=4))
    assert (told(spec, "--tensor-parallel-size"), told(spec, "--pipeline-parallel-size")) == ("4", "3")
    flat = ENGINE.launch(request(nodes=3, cards=4, mode=Mode.CUSTOM, flags={"pipeline_parallel_size": 1}))
    assert (told(flat, "--tensor-parallel-size"), told(flat, "--pipeline-parallel-size")) == ("12", "1")


def test_processors_of_all_nodes_share_layers() -> None:
    spec = ENGINE.launch(request(nodes=4))
    assert (told(spec, "--tensor-parallel-size"), told(spec, "--pipeline-parallel-size")) == ("4", None)
    with pytest.raises(InvalidError, match="one stage"):
        ENGINE.launch(request(mode=Mode.CUSTOM, flags={"pipeline_parallel_size": 2}))


@pytest.mark.parametrize("stages", [5, 13, 64])
def test_stages_that_cannot_be_made_are_refused_with_the_numbers(stages: int) -> None:
    with pytest.raises(InvalidError, match=f"{stages} stages cannot be made of 12 devices"):
        ENGINE.launch(request(nodes=3, cards=4, mode=Mode.CUSTOM, flags={"pipeline_parallel_size": stages}))


@pytest.mark.parametrize(
    ("facts", "vendor", "nodes", "problem"),
    [
        ({"attention_heads": 12, "kv_heads": 4}, "cpu", 2, None),
        ({"attention_heads": 12, "kv_heads": 4}, "cpu", 5, "12 attention heads"),
        ({"attention_heads": 12, "kv_heads": 4}, "cpu", 3, "4 heads of keys and values"),
        ({"attention_heads": 12, "kv_heads": 2}, "cpu", 4, None),
        ({"layers": 2, "attention_heads": 7}, "nvidia", 2, None),
        ({"layers": 2}, "nvidia", 3, "2 layers cannot make 3 stages"),
        ({}, "cpu", 7, None),
    ],
)
def test_what_cannot_be_divided_is_told(facts: dict[str, int], vendor: str, nodes: int, problem: str | None) -> None:
    assert isinstance(ENGINE, SpansNodes)
    version = make_version(architecture=Architecture(name="LlamaForCausalLM", **facts))
    said = ENGINE.spans(version, vendor, nodes)
    assert said is None if problem is None else problem in str(said)


def test_each_node_needs_memory_for_its_part_alone() -> None:
    def parts(nodes: int) -> dict[str, int]:
        sizing = Sizing(context_length=4096, users=8, cpu_cores=2, nodes=nodes)
        found = ENGINE.estimate(make_version(), ModelType.CHAT, Mode.BALANCED, sizing)
        return {part.name: part.bytes for part in found}

    one, two = parts(1), parts(2)
    assert two["weights"] == one["weights"] // 2
    assert two["kv_cache"] == one["kv_cache"] // 2
    assert two["engine_overhead"] > one["engine_overhead"], "a worker of its own"
    cache = {choice.name: choice.value for choice in ENGINE.settings(request(nodes=2))}["kv_cache_memory_bytes"]
    whole = {choice.name: choice.value for choice in ENGINE.settings(request(nodes=1))}["kv_cache_memory_bytes"]
    assert cache == whole // 2
