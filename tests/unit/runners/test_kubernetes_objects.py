"""What the objects of replicas say, by vendor and by wish; each checked by the published schema."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.kubernetes_schema import complaints
from tests.support.kubernetes_world import OPTIONS, make_launch, make_member, make_share

from aicp.core.errors import InvalidError
from aicp.core.launch import DeviceShare
from aicp.core.quantity import GIB, MIB
from aicp.core.slice import SlicePolicy
from aicp.runners.kubernetes.containers import fill
from aicp.runners.kubernetes.names import engine_token, label_value, object_name
from aicp.runners.kubernetes.objects import build_workload, plain
from aicp.runners.kubernetes.options import read_options
from aicp.runners.kubernetes.resources import slicing_of

PRODUCTS = {"npu-0": "Ascend910B3", "bi-0": "BI-V150"}


def pod_of(*shares: DeviceShare, scheduler: str = "hami", **options: Any) -> dict[str, Any]:
    """The pod template of a replica on these cards."""
    launch = make_launch(make_member(*shares))
    found = plain(build_workload(launch, read_options({**OPTIONS, "scheduler": scheduler, **options}), PRODUCTS))
    assert complaints("V1Deployment", found) == []
    return found["spec"]["template"]


def limits_of(pod: dict[str, Any]) -> dict[str, str]:
    """The extended resources of the engine."""
    found = pod["spec"]["containers"][0]["resources"]
    assert found["requests"] == found["limits"]
    return {name: value for name, value in found["limits"].items() if "/" in name}


@pytest.mark.parametrize(
    ("share", "limits"),
    [
        (
            make_share("nvidia", part=(30, 2 * GIB)),
            {"nvidia.com/gpu": "1", "nvidia.com/gpumem": "2048", "nvidia.com/gpucores": "30"},
        ),
        (
            make_share("ascend", device_id="npu-0", part=(25, 16 * GIB)),
            {
                "huawei.com/Ascend910B3": "1",
                "huawei.com/Ascend910B3-memory": "16384",
                "huawei.com/Ascend910B3-core": "25",
            },
        ),
        (
            make_share("hygon", device_id="d", part=(20, 4 * GIB)),
            {"hygon.com/dcunum": "1", "hygon.com/dcumem": "4096", "hygon.com/dcucores": "20"},
        ),
        (
            make_share("metax", device_id="m", part=(20, 4 * GIB)),
            {"metax-tech.com/sgpu": "1", "metax-tech.com/vmemory": "4", "metax-tech.com/vcore": "20"},
        ),
        (
            make_share("metax", device_id="m", part=(20, 2304 * MIB)),
            {"metax-tech.com/sgpu": "1", "metax-tech.com/vmemory": "2304Mi", "metax-tech.com/vcore": "20"},
        ),
        (
            make_share("iluvatar", device_id="bi-0", part=(10, GIB)),
            {"iluvatar.ai/BI-V150-vgpu": "1", "iluvatar.ai/BI-V150.vMem": "4", "iluvatar.ai/BI-V150.vCore": "10"},
        ),
        (
            make_share("cambricon", device_id="m", part=(10, 768 * MIB)),
            {"cambricon.com/vmlu": "1", "cambricon.com/mlu.smlu.vmemory": "3", "cambricon.com/mlu.smlu.vcore": "10"},
        ),
        (
            make_share("mthreads", device_id="m", part=(30, GIB)),
            {"mthreads.com/vgpu": "1", "mthreads.com/sgpu-memory": "2", "mthreads.com/sgpu-core": "5"},
        ),
        (
            make_share("amd", device_id="a", part=(50, GIB)),
            {"amd.com/gpu": "1", "amd.com/gpumem": "1024", "amd.com/gpucores": "50"},
        ),
        (make_share("nvidia"), {"nvidia.com/gpu": "1", "nvidia.com/gpucores": "100"}),
    ],
    ids=lambda value: value.vendor if isinstance(value, DeviceShare) else "",
)
def test_each_vendor_by_hami(share: DeviceShare, limits: dict[str, str]) -> None:
    pod = pod_of(share)
    assert limits_of(pod) == limits
    assert pod["spec"]["schedulerName"] == "hami-scheduler"
    assert {item["key"] for item in pod["spec"]["tolerations"]} == set(limits)


def test_the_very_cards_that_were_chosen() -> None:
    part = (10, GIB)
    pod = pod_of(make_share(part=part), make_share(device_id="GPU-2", part=part))
    assert pod["metadata"]["annotations"] == {"nvidia.com/use-gpuuuid": "GPU-1,GPU-2"}
    assert limits_of(pod)["nvidia.com/gpu"] == "2"
    assert {"name": "memory", "mountPath": "/dev/shm"} in pod["spec"]["containers"][0]["volumeMounts"]


def test_volcano() -> None:
    pod = pod_of(make_share(part=(30, GIB)), scheduler="volcano")
    assert limits_of(pod) == {
        "volcano.sh/vgpu-number": "1",
        "volcano.sh/vgpu-memory": "1024",
        "volcano.sh/vgpu-cores": "30",
    }
    assert pod["spec"]["schedulerName"] == "volcano"


@pytest.mark.parametrize(
    ("vendor", "device_id", "resource"),
    [
        ("nvidia", "GPU-1", "nvidia.com/gpu"),
        ("ascend", "npu-0", "huawei.com/Ascend910"),
        ("metax", "m", "metax-tech.com/gpu"),
        ("cambricon", "m", "cambricon.com/mlu"),
    ],
)
def test_whole_cards_need_no_scheduler(vendor: str, device_id: str, resource: str) -> None:
    pod = pod_of(make_share(vendor, device_id=device_id), scheduler="none")
    assert limits_of(pod) == {resource: "1"}
    assert "schedulerName" not in pod["spec"]


@pytest.mark.parametrize(
    ("shares", "scheduler", "words"),
    [
        ([make_share(part=(10, GIB))], "none", "cannot cut it"),
        ([make_share("hygon", device_id="d", part=(10, GIB))], "volcano", "cannot cut it"),
        ([make_share(), make_share("amd", device_id="a")], "hami", "several vendors"),
        ([make_share("kunlun", device_id="k")], "hami", "does not know how Kubernetes names"),
        ([make_share(part=(10, GIB)), make_share(device_id="GPU-2", part=(20, GIB))], "hami", "must be equal"),
        ([make_share("ascend", device_id="unknown", part=(10, GIB))], "hami", "of no known product"),
    ],
)
def test_what_no_cluster_can_hold(shares: list[DeviceShare], scheduler: str, words: str) -> None:
    with pytest.raises(InvalidError, match=words):
        pod_of(*shares, scheduler=scheduler)


def test_a_guaranteed_slice_of_the_processor_may_borrow() -> None:
    share = make_share("cpu", device_id="cpu-0", part=(20, GIB), mechanism="cgroup", policy=SlicePolicy.WEIGHT)
    found = pod_of(share)["spec"]["containers"][0]["resources"]
    assert found["requests"]["cpu"] == "2500m"
    assert "cpu" not in found["limits"]
    capped = pod_of(make_share("cpu", device_id="cpu-0", part=(20, GIB), mechanism="cgroup"))
    assert capped["spec"]["containers"][0]["resources"]["limits"]["cpu"] == "2500m"


def test_models_in_a_directory_of_each_node() -> None:
    volumes = {item["name"]: item for item in pod_of(models="node:/var/lib/aicp-models")["spec"]["volumes"]}
    assert volumes["models"]["hostPath"] == {"path": "/var/lib/aicp-models", "type": "DirectoryOrCreate"}
    volumes = {item["name"]: item for item in pod_of(models="claim:weights")["spec"]["volumes"]}
    assert volumes["models"]["persistentVolumeClaim"] == {"claimName": "weights"}


def test_an_engine_without_a_model_fetches_none() -> None:
    found = build_workload(make_launch(make_member(model_digest=None)), read_options(OPTIONS), {})
    spec = plain(found)["spec"]["template"]["spec"]
    assert "initContainers" not in spec
    assert [item["name"] for item in spec["volumes"]] == ["scratch"]


def test_what_kubernetes_would_expand_is_left_alone() -> None:
    assert fill("$(HOME) {token} {unknown} $x", {"token": "$(T)"}) == "$$(HOME) $(T) {unknown} $x"


@pytest.mark.parametrize("replica_id", ["rep_01HXYZ", "a" * 80, "Ünïcode/1", "x_-"])
def test_names_that_the_api_takes(replica_id: str) -> None:
    name = object_name(replica_id, 12)
    assert len(name) <= 40
    assert name.isascii()
    assert all(part.isalnum() or part == "-" for part in name)
    assert name[-1] != "-"
    assert len(label_value(replica_id)) <= 63


def test_names_differ_where_replicas_do() -> None:
    names = {object_name(text, 1) for text in ("rep_a", "rep-a", "REP_A", "a" * 60, "a" * 61)}
    assert len(names) == 5
    assert object_name("rep_a", 1) != object_name("rep_a", 2)


def test_tokens_are_of_one_start_alone() -> None:
    first = engine_token("key", "rep_1", 1)
    assert first == engine_token("key", "rep_1", 1)
    assert len({first, engine_token("key", "rep_1", 2), engine_token("other", "rep_1", 1)}) == 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"namespace": "No_Name"}, "AICP_KUBERNETES_NAMESPACE is 'No_Name'"),
        ({"scheduler": "kueue"}, "AICP_KUBERNETES_SCHEDULER"),
        ({"models": "nfs:/x"}, "AICP_KUBERNETES_MODELS"),
        ({"models": "node:/a/../b"}, "AICP_KUBERNETES_MODELS"),
        ({"images": ("vllm",)}, "AICP_KUBERNETES_IMAGES is 'vllm'"),
        ({"images": ("a:b:c:d=x",)}, "AICP_KUBERNETES_IMAGES"),
        ({"control_url": "control:8600"}, "AICP_KUBERNETES_CONTROL_URL"),
        ({"token_secret": "A B"}, "AICP_KUBERNETES_TOKEN_SECRET"),
        ({"gateway_networks": ("10.0.0.0/99",)}, "AICP_KUBERNETES_GATEWAY_NETWORKS"),
    ],
)
def test_settings_that_cannot_be(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidError, match=words) as error:
        read_options(options)
    assert (error.value.hint or "").startswith("Write ")


def test_the_most_precise_image_wins() -> None:
    options = read_options({"images": ("vllm=a", "vllm:0.32.0=b", "vllm:0.32.0:cuda=r.example.org:5000/c:1")})
    assert options.image_of("vllm", "0.32.0", "cuda") == "r.example.org:5000/c:1"
    assert options.image_of("vllm", "0.32.0", "cpu") == "b"
    assert options.image_of("vllm", "0.31.0", "cpu") == "a"


def test_ways_to_cut_a_card() -> None:
    assert [way.mechanism for way in slicing_of("cpu", "none")] == ["cgroup"]
    assert [way.mechanism for way in slicing_of("nvidia", "hami")] == ["hami"]
    assert slicing_of("nvidia", "none") == []
    assert slicing_of("mthreads", "hami")[0].compute_unit_percent == 6.25
