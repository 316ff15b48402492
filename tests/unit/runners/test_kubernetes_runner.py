"""The Kubernetes runner against an API server that checks what it is given and allows what the Role allows."""

from __future__ import annotations

import base64
import re

import pytest
from tests.support.agent_process import eventually
from tests.support.kubernetes_api import KINDS, ApiError, KubernetesApi
from tests.support.kubernetes_cluster import AT, HAMI_CARDS, ended, engine, make_node
from tests.support.kubernetes_world import DIGEST, KEY, KubernetesWorld, make_launch, make_member, make_share

from aicp.core.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from aicp.core.launch import ReplicaState
from aicp.runners.base import KeepsEnvironments, StreamsLogs, Watches


async def test_a_replica_from_its_start_to_its_end(world: KubernetesWorld) -> None:
    runner = world.runner()
    begun = await runner.start(make_launch())
    assert (begun.state, begun.replica_id, begun.generation) == (ReplicaState.STARTING, "rep_1", 1)
    pod = world.controllers.pod()
    seen = await world.until(runner, ReplicaState.STARTING)
    assert [member.node_id for member in seen.members] == ["node-a"]
    world.controllers.say(pod, initContainerStatuses=[engine({"running": {"startedAt": AT}}, name="fetch-model")])
    await eventually("it fetches", lambda: _phase(world, runner, "fetching model"))
    world.controllers.run(pod, ready=False, started=False)
    assert (await world.until(runner, ReplicaState.LOADING)).ready_at is None
    world.controllers.run(pod, ready=True)
    ready = await world.until(runner, ReplicaState.READY)
    assert ready.address == "http://10.0.0.7:8000"
    assert ready.ready_at is not None
    secret = world.api.one("secrets")
    assert base64.b64decode(secret["data"]["token"]).decode() == ready.token
    world.controllers.run(pod, ready=False)
    degraded = await world.until(runner, ReplicaState.DEGRADED)
    assert degraded.reason == "The engine does not answer its health check."
    await runner.stop("rep_1", 1, 3.0)
    await world.until(runner, ReplicaState.DRAINING)
    assert world.api.one("pods")["metadata"]["deletionGracePeriodSeconds"] == 3
    world.controllers.finish()
    await world.until(runner, ReplicaState.STOPPED)
    await runner.stop("rep_1", 1, 3.0)
    await runner.stop("rep_unknown", 1, 3.0)
    left = {kind.plural: len(world.api.all(kind.plural)) for kind in KINDS if kind.plural != "nodes"}
    assert set(left.values()) == {0}, "everything goes with its owner"


async def _phase(world: KubernetesWorld, runner: object, phase: str) -> bool:
    seen = await world.seen(runner)  # type: ignore[arg-type]
    return seen is not None and seen.phase == phase


async def test_what_is_made_holds_no_secret_and_few_rights(world: KubernetesWorld) -> None:
    runner = world.runner()
    await runner.start(make_launch())
    token = (await world.until(runner, ReplicaState.STARTING)).token
    deployment = world.api.one("deployments")
    spec = deployment["spec"]["template"]["spec"]
    (container,), (fetch,) = spec["containers"], spec["initContainers"]
    assert KEY not in str(deployment)
    assert token is None
    assert deployment["metadata"]["labels"]["aicp.io/service"] == "svc"
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["command"] == ["python3", "-m", "tiny", "--host", "0.0.0.0", "--port", "8000", f"/models/{DIGEST}"]
    variables = {item["name"]: item for item in container["env"]}
    assert variables["AICP_ENGINE_TOKEN"]["valueFrom"]["secretKeyRef"]["name"] == deployment["metadata"]["name"]
    assert variables["TINY_TOKEN"]["value"] == "$(AICP_ENGINE_TOKEN)"
    assert container["env"][0]["name"] == "AICP_ENGINE_TOKEN", "others refer to it, so it must come first"
    assert container["startupProbe"]["failureThreshold"] == 122
    assert container["resources"]["limits"] == {"cpu": "2500m", "memory": str(4 << 30)}
    assert fetch["env"][0]["valueFrom"]["secretKeyRef"] == {"name": "aicp-internal", "key": "token"}
    policy = world.api.one("networkpolicies")
    (rule,) = policy["spec"]["ingress"]
    callers = [peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for peer in rule["from"]]
    assert callers == ["gateway", "control"], "requests come from one, the other reads metrics"
    for plural in ("secrets", "configmaps", "networkpolicies"):
        (owner,) = world.api.one(plural)["metadata"]["ownerReferences"]
        assert owner["uid"] == deployment["metadata"]["uid"]
        assert owner["blockOwnerDeletion"] is True, "its name is not free before"


async def test_starting_twice_is_starting_once(world: KubernetesWorld) -> None:
    runner = world.runner()
    await runner.start(make_launch())
    before = world.api.one("deployments")["metadata"]["uid"]
    again = await runner.start(make_launch())
    assert again.generation == 1
    assert world.api.one("deployments")["metadata"]["uid"] == before
    other = world.runner()
    await other.start(make_launch())
    assert len(world.api.all("deployments")) == 1, "another process of the platform finds what is there"


async def test_a_later_generation_takes_the_place_of_the_former(world: KubernetesWorld) -> None:
    runner = world.runner()
    await runner.start(make_launch())
    await runner.start(make_launch(generation=2))
    found = {item["metadata"]["labels"]["aicp.io/generation"]: item for item in world.api.all("deployments")}
    assert "deletionTimestamp" in found["1"]["metadata"]
    world.controllers.finish()
    seen = await world.until(runner, ReplicaState.STARTING)
    assert seen.generation == 2
    await runner.stop("rep_1", 1, 1.0)
    assert len(world.api.all("deployments")) == 1, "a stop of a former generation leaves the later one alone"


async def test_what_belongs_to_it_failed_so_nothing_is_left(world: KubernetesWorld) -> None:
    runner = world.runner()
    world.api.refusals["secrets"] = ApiError(403, "Forbidden", "exceeded quota: secrets")
    with pytest.raises(ForbiddenError, match="exceeded quota"):
        await runner.start(make_launch())
    world.controllers.finish()
    assert not world.api.all("deployments")
    assert not world.api.all("networkpolicies")
    await runner.start(make_launch())
    assert len(world.api.all("secrets")) == 1


async def test_a_lost_race_is_no_success(world: KubernetesWorld) -> None:
    runner = world.runner()
    world.api.refusals["configmaps"] = ApiError(409, "Conflict", "the object has been modified")
    with pytest.raises(ConflictError, match="modified"):
        await runner.start(make_launch())


async def test_one_that_is_being_removed_is_not_taken_for_a_new_one(world: KubernetesWorld) -> None:
    runner = world.runner()
    await runner.start(make_launch())
    await runner.stop("rep_1", 1, 5.0)
    with pytest.raises(ConflictError, match="being removed"):
        await runner.start(make_launch())


@pytest.mark.parametrize(
    ("reason", "message", "words"),
    [
        ("ImagePullBackOff", "not found", r"image cannot be pulled \(ImagePullBackOff\): not found"),
        ("CreateContainerConfigError", "no such secret", "cannot be configured"),
    ],
)
async def test_what_keeps_a_container_from_starting(
    world: KubernetesWorld, reason: str, message: str, words: str
) -> None:
    runner = world.runner()
    await runner.start(make_launch())
    world.controllers.wait(world.controllers.pod(), reason, message)

    async def told() -> str | None:
        seen = await world.seen(runner)
        return seen.reason if seen else None

    assert re.search(words, str(await eventually("the reason is told", told)))
    assert (await world.until(runner, ReplicaState.STARTING)).reason, "it may yet come right"


async def test_no_node_takes_it(world: KubernetesWorld) -> None:
    runner = world.runner()
    await runner.start(make_launch())
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes: gpu"}
    world.controllers.say(world.controllers.pod(), conditions=[condition])

    async def told() -> bool:
        seen = await world.seen(runner)
        return seen is not None and seen.reason == "No node can take it (Unschedulable): 0/1 nodes: gpu"

    assert await eventually("the reason is told", told)


async def test_an_engine_that_ends_for_want_of_memory_fails_with_that_reason(world: KubernetesWorld) -> None:
    runner = world.runner()
    await runner.start(make_launch())
    pod = world.controllers.pod()
    killed = ended(137, "OOMKilled")
    world.controllers.wait(pod, "CrashLoopBackOff", "back-off", restarts=2, last=killed)
    await eventually("it says why", lambda: _reason(world, runner, "more memory than its limit"))
    world.controllers.wait(pod, "CrashLoopBackOff", "back-off", restarts=5, last=killed)
    failed = await world.until(runner, ReplicaState.FAILED)
    assert "OOMKilled" in (failed.reason or "")
    assert failed.restarts == 5
    assert failed.members[0].exit_code == 137
    world.controllers.finish()
    assert not world.api.all("deployments"), "a failed replica gives its cards back"
    assert (await world.until(runner, ReplicaState.FAILED)).reason == failed.reason, "and is told of for a while"


async def _reason(world: KubernetesWorld, runner: object, words: str) -> bool:
    seen = await world.seen(runner)  # type: ignore[arg-type]
    return seen is not None and words in (seen.reason or "")


async def test_a_workload_that_somebody_deleted_is_gone(world: KubernetesWorld) -> None:
    runner = world.runner()
    await runner.start(make_launch())
    await world.until(runner, ReplicaState.STARTING)
    world.api.drop("deployments", world.api.one("deployments")["metadata"]["name"])
    await world.until(runner, None)


async def test_a_quota_is_told(world: KubernetesWorld) -> None:
    runner = world.runner()
    await runner.start(make_launch())
    name = world.api.one("deployments")["metadata"]["name"]
    condition = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"}
    world.api.update("deployments", name, lambda found: found.update(status={"conditions": [condition]}))
    await eventually("the quota is told", lambda: _reason(world, runner, "makes no pod for it: exceeded quota"))


async def test_what_a_former_workload_left_is_not_taken_for_what_is_new(world: KubernetesWorld) -> None:
    runner = world.runner()
    await runner.start(make_launch())
    left = world.api.one("secrets")
    await runner.stop("rep_1", 1, 0.0)
    world.controllers.finish()
    left["metadata"]["ownerReferences"][0]["uid"] = "uid-of-a-former-one"
    world.api.add("secrets", left)
    with pytest.raises(ConflictError, match="still being removed"):
        await runner.start(make_launch())
    world.controllers.finish()
    assert not world.api.all("deployments"), "it would have lost its secret a moment later"
    world.api.drop("secrets", left["metadata"]["name"])
    await runner.start(make_launch())
    (owner,) = world.api.one("secrets")["metadata"]["ownerReferences"]
    assert owner["uid"] == world.api.one("deployments")["metadata"]["uid"]


async def test_another_process_knows_what_has_served(world: KubernetesWorld) -> None:
    await world.runner().start(make_launch())
    name, pod = world.api.one("deployments")["metadata"]["name"], world.controllers.pod()
    done = {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}
    down = {"type": "Available", "status": "False", "reason": "MinimumReplicasUnavailable"}
    world.api.update("deployments", name, lambda found: found.update(status={"conditions": [down, done]}))
    world.api.update("deployments", name, lambda found: found["metadata"].update(creationTimestamp=AT))
    world.controllers.wait(pod, "CrashLoopBackOff", restarts=9, last=ended(1))
    seen = await world.until(world.runner(), ReplicaState.STARTING)
    assert "exit code 1" in seen.reason
    assert seen.restarts == 9
    assert "deletionTimestamp" not in world.api.one("deployments")["metadata"]


async def test_changes_ring(world: KubernetesWorld) -> None:
    runner = world.runner()
    assert isinstance(runner, Watches)
    rings: list[None] = []
    runner.on_change(lambda: rings.append(None))
    await runner.start(make_launch())
    await world.until(runner, ReplicaState.STARTING)
    before = len(rings)
    world.controllers.run(world.controllers.pod(), ready=True)
    await world.until(runner, ReplicaState.READY)
    assert len(rings) > before


async def test_a_node_that_is_silent_takes_its_replicas_with_it(world: KubernetesWorld) -> None:
    runner = world.runner()
    await runner.start(make_launch())
    world.controllers.run(world.controllers.pod(), ready=True)
    await world.until(runner, ReplicaState.READY)
    world.api.update("nodes", "node-a", lambda node: node["status"]["conditions"][0].update(status="Unknown"))
    await world.until(runner, None)
    assert await runner.nodes() == []
    world.api.update("nodes", "node-a", lambda node: node["status"]["conditions"][0].update(status="True"))
    await world.until(runner, ReplicaState.READY)


async def test_leader_and_followers(world: KubernetesWorld) -> None:
    runner = world.runner(scheduler="hami")
    for name in ("node-b", "node-c"):
        world.api.add("nodes", make_node(name))
    shares = [make_share(), make_share(device_id="GPU-2")]
    members = [make_member(*shares, node_id=f"node-{name}") for name in "abc"]
    await runner.start(make_launch(*members))
    found = world.api.one("leaderworkersets")
    group = found["spec"]["leaderWorkerTemplate"]
    assert group["size"] == 3
    assert "readinessProbe" in group["leaderTemplate"]["spec"]["containers"][0]
    assert "readinessProbe" not in group["workerTemplate"]["spec"]["containers"][0]
    chosen = group["workerTemplate"]["spec"]["affinity"]["nodeAffinity"]
    terms = chosen["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert [term["matchFields"][0]["values"] for term in terms] == [["node-b"], ["node-c"]]
    pods = [pod["metadata"]["name"] for pod in world.controllers.pods_of(found)]
    for index, pod in enumerate(pods[:2]):
        world.controllers.run(pod, ready=True, ip=f"10.0.0.{index}")
    assert (await world.until(runner, ReplicaState.STARTING)).phase == "waiting for its node", "one is not there yet"
    world.controllers.run(pods[2], ready=True, ip="10.0.0.2")
    ready = await world.until(runner, ReplicaState.READY)
    assert ready.address == "http://10.0.0.0:8000", "the leader answers"
    assert len(ready.members) == 3
    await runner.stop("rep_1", 1, 1.0)
    world.controllers.finish()
    assert not world.api.all("leaderworkersets")
    odd = make_member(make_share(), node_id="node-c")
    with pytest.raises(InvalidError, match="must be alike"):
        await runner.start(make_launch(members[0], members[1], odd, replica_id="rep_2"))


async def test_a_cluster_without_groups_serves_all_else(tmp_path: object) -> None:
    world = KubernetesWorld()
    world.api = KubernetesApi(kinds=tuple(kind for kind in KINDS if kind.name != "LeaderWorkerSet"))
    world.controllers = type(world.controllers)(world.api)
    async with world.serve(tmp_path):  # type: ignore[arg-type]
        runner = world.runner()
        await runner.start(make_launch())
        await world.until(runner, ReplicaState.STARTING)
        with pytest.raises(InvalidError, match="knows no LeaderWorkerSet"):
            await runner.start(make_launch(make_member(), make_member(node_id="node-b"), replica_id="rep_2"))


async def test_nodes_and_their_cards(world: KubernetesWorld) -> None:
    runner = world.runner(scheduler="hami", images=("tiny:1:cuda=tiny:1",))
    annotations = {"hami.io/node-nvidia-register": HAMI_CARDS}
    world.api.add("nodes", make_node("node-b", cards={"nvidia.com/gpu": "20"}, annotations=annotations))
    labels = {"nvidia.com/gpu.product": "NVIDIA-L20", "nvidia.com/gpu.memory": "46068"}
    world.api.add("nodes", make_node("node-c", cards={"nvidia.com/gpu": "2"}, labels=labels, cordoned=True))
    world.api.add("nodes", make_node("node-d", ready=False))
    nodes = {node.node_id: node for node in await runner.nodes()}
    assert set(nodes) == {"node-a", "node-b", "node-c"}
    (processor,) = nodes["node-a"].accelerators
    assert (processor.vendor, processor.cores, processor.memory_bytes) == ("cpu", 15, 60 << 30)
    first, second = (item for item in nodes["node-b"].accelerators if item.vendor == "nvidia")
    assert (first.device_id, first.memory_bytes, first.health) == ("GPU-1", 24564 << 20, "healthy")
    assert [way.mechanism for way in first.slicing] == ["hami"]
    assert second.health == "failed"
    counted = [item for item in nodes["node-c"].accelerators if item.vendor == "nvidia"]
    assert len(counted) == 2
    assert counted[0].memory_bytes == 46068 << 20
    assert "cordoned" in (counted[0].health_reason or "")
    assert nodes["node-a"].environments[0].variant == "cuda"


async def test_logs(world: KubernetesWorld) -> None:
    runner = world.runner()
    assert isinstance(runner, StreamsLogs)
    await runner.start(make_launch())
    world.api.logs[world.controllers.pod()] = "one\ntwo\nthree\n"

    async def text() -> str:
        return "".join([piece async for piece in runner.log("rep_1", tail=2)])

    await world.until(runner, ReplicaState.STARTING)
    assert await text() == "two\nthree\n"
    with pytest.raises(NotFoundError, match="no pod"):
        [piece async for piece in runner.log("rep_unknown")]


async def test_environments_are_images(world: KubernetesWorld) -> None:
    runner = world.runner(images=("tiny:1:cpu=tiny:1",))
    assert isinstance(runner, KeepsEnvironments)
    (found,) = await runner.environments("node-a")
    assert found.message == "container image tiny:1"
    assert (await runner.install_environment("node-a", "tiny", "1", "cpu")).state == "installed"
    with pytest.raises(InvalidError, match="no container image"):
        await runner.install_environment("node-a", "vllm", "1", "cpu")
    with pytest.raises(InvalidError, match="container image and not"):
        await runner.remove_environment("node-a", "tiny", "1", "cpu")


async def test_an_engine_nobody_could_reach_and_an_image_nobody_named(world: KubernetesWorld) -> None:
    runner = world.runner()
    with pytest.raises(InvalidError, match="only be reached from its own machine"):
        await runner.start(make_launch(make_member(network_command=[])))
    with pytest.raises(InvalidError, match="no container image"):
        await runner.start(make_launch(make_member(engine="other")))
    with pytest.raises(InvalidError, match="cannot fetch the model"):
        await world.runner(image=None).start(make_launch())
    assert not world.api.all("deployments")


async def test_a_role_without_a_right_is_told(world: KubernetesWorld) -> None:
    assert world.api.rules is not None
    world.api.rules = [rule for rule in world.api.rules if "networkpolicies" not in rule["resources"]]
    with pytest.raises(ForbiddenError, match="cannot create") as refused:
        await world.runner().start(make_launch())
    assert refused.value.hint == "Give its service account the Role of `aicp kubernetes render`."
