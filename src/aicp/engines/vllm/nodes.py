"""vLLM over several nodes: how the model is divided, and what each member is told.

The arguments are vLLM's own for its executor `mp` (engine/arg_utils.py, v1/executor/multiproc_executor.py and
entrypoints/cli/serve.py of 0.32): one API server with the leader, the other members run `--headless`.
"""

from __future__ import annotations

from aicp.core.errors import InvalidError
from aicp.core.model import Architecture
from aicp.core.service import Choice
from aicp.engines.base import LaunchRequest

STAGES = "pipeline_parallel_size"
_MEETING_SECONDS = 1800
"""How long members wait for each other: one may still fetch the model while another is ready."""


def spans(architecture: Architecture, vendor: str, nodes: int) -> str | None:
    """Why a replica cannot be divided over so many nodes; None where it can."""
    if vendor != "cpu":
        layers = architecture.layers
        return f"its {layers} layers cannot make {nodes} stages" if layers and layers < nodes else None
    return undivided(architecture, nodes)


def undivided(architecture: Architecture, parts: int) -> str | None:
    """Why each layer cannot be cut into so many parts: heads are not, and keys and values are at most repeated."""
    heads = architecture.attention_heads
    shared = architecture.kv_heads or heads
    if heads and heads % parts:
        return f"its {heads} attention heads cannot be divided by {parts}"
    if shared and shared % parts and parts % shared:
        return f"its {shared} heads of keys and values cannot be divided by {parts}"
    return None


def division(request: LaunchRequest) -> list[Choice]:
    """Parts of each layer and stages of layers, for all devices of all nodes.

    Raises InvalidError for a number of stages that cannot be.
    """
    nodes, on_cpu = request.sizing.nodes, request.variant == "cpu"
    devices = 1 if on_cpu else max(1, len(request.allocation.devices))
    asked = request.flags.get(STAGES)
    # on processors vLLM 0.32 ends with a KeyError at the first request to stages on two nodes
    stages = asked if type(asked) is int else 1 if on_cpu else nodes
    world = devices * nodes
    layers = request.version.architecture.layers
    if on_cpu and stages > 1:
        raise InvalidError("On processors a replica has one stage.", hint=f"Leave the flag {STAGES} out, or give 1.")
    if world % stages or (layers and layers < stages):
        raise InvalidError(
            f"{stages} stages cannot be made of {world} devices and the {layers or '?'} layers of this model.",
            hint=f"Leave the flag {STAGES} out, or give 1.",
        )
    parts = world // stages
    if nodes > 1 and (problem := undivided(request.version.architecture, parts)):
        raise InvalidError(f"The model cannot be computed by {world} devices in {stages} stages: {problem}.")
    chosen = [_chosen("tensor_parallel_size", parts, _why_parts(nodes, stages))]
    if nodes > 1 and not on_cpu:
        chosen.append(_chosen(STAGES, stages, "one stage of layers on each node: little passes between nodes"))
    return chosen


def _why_parts(nodes: int, stages: int) -> str:
    if nodes == 1:
        return "one part of the weights on each device"
    if stages > 1:
        return "a part of each layer on each device of a node"
    return "a part of each layer on each device of all nodes"


def member_arguments(request: LaunchRequest) -> list[str]:
    """What one member is told beside what all are told."""
    if request.sizing.nodes == 1:
        return []
    words = ["--nnodes", str(request.sizing.nodes), "--node-rank", "{rank}"]
    words += ["--master-addr", "{leader}", "--master-port", "{group_port}"]
    words += ["--distributed-timeout-seconds", str(_MEETING_SECONDS)]
    return words if request.rank == 0 else [*words, "--headless"]


def member_environment(request: LaunchRequest) -> dict[str, str]:
    """Members speak to each other through the interface of the cluster alone, where vLLM and its libraries let choose:
    torch's meeting point listens on all."""
    if request.sizing.nodes == 1:
        return {}
    found = {"VLLM_HOST_IP": "{address}", "GLOO_SOCKET_IFNAME": "{interface}", "NCCL_SOCKET_IFNAME": "{interface}"}
    # a worker bound to cores by vLLM would share them with that of another member; cgroups divide the cores
    return found | ({"VLLM_CPU_OMP_THREADS_BIND": "nobind"} if request.variant == "cpu" else {})


def _chosen(name: str, value: object, reason: str) -> Choice:
    return Choice(name=name, value=value, chosen_by="platform", reason=reason)
