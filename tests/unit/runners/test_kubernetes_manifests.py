"""The manifests of the platform itself, by the published schema, and no right too many."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.kubernetes_schema import complaints
from tests.support.kubernetes_world import KubernetesWorld, make_launch, make_member, platform_documents
from typer.testing import CliRunner

from aicp.cli.app import app
from aicp.core.errors import InvalidError
from aicp.core.launch import ReplicaState
from aicp.main.settings import load_settings

RENDER = ["kubernetes", "render", "--image", "registry.example.org/aicp:1"]


@pytest.mark.parametrize("more", [{}, {"tls_secret": "aicp-tls", "models": "node:/models", "storage_class": "fast"}])
def test_the_api_server_takes_every_document(more: dict[str, str]) -> None:
    documents = platform_documents(**more)
    found = {f"{item['kind']}/{item['metadata']['name']}": complaints(f"V1{item['kind']}", item) for item in documents}
    assert {name: wrong for name, wrong in found.items() if wrong} == {}
    assert "Deployment/aicp-control" in found
    assert "Deployment/aicp-gateway" in found
    assert ("PersistentVolumeClaim/aicp-models" in found) == (not more)


def test_the_settings_in_them_are_settings() -> None:
    documents = platform_documents(images=("vllm=registry.example.org/vllm:1",), scheduler="hami")
    by_name = {item["metadata"]["name"]: item for item in documents if item["kind"] == "Deployment"}
    values = {}
    for name, deployment in by_name.items():
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        values[name] = load_settings({}, {item["name"]: item["value"] for item in container["env"]})
        assert container["command"] == ["aicp-server", name.removeprefix("aicp-")]
    control, gateway = values["aicp-control"], values["aicp-gateway"]
    assert control.runner == "kubernetes"
    options = control.runner_options()
    assert options["images"] == ("vllm=registry.example.org/vllm:1",)
    assert options["control_url"] == "http://aicp-control.aicp.svc:8600"
    assert control.gateway_url == "http://aicp-gateway.aicp.svc:8601"
    assert gateway.control_url == options["control_url"]
    assert gateway.gateway_host == "0.0.0.0"


def test_nothing_runs_as_root_or_holds_a_secret() -> None:
    for item in platform_documents():
        assert item["kind"] != "Secret"
        if item["kind"] == "ServiceAccount":
            assert item["automountServiceAccountToken"] is False
        if item["kind"] == "Deployment":
            spec = item["spec"]["template"]["spec"]
            assert spec["securityContext"]["runAsNonRoot"] is True
            assert spec["automountServiceAccountToken"] == (item["metadata"]["name"] == "aicp-control")
            for container in spec["containers"] + spec["initContainers"]:
                assert container["securityContext"]["allowPrivilegeEscalation"] is False


async def test_every_right_of_the_role_is_used(world: KubernetesWorld) -> None:
    runner = world.runner()
    await runner.start(make_launch())
    await runner.start(make_launch())
    several = make_launch(make_member(), make_member(node_id="node-b"), replica_id="rep_2")
    for _ in range(2):
        await runner.start(several)
    world.api.logs[world.controllers.pod()] = "text\n"
    await world.until(runner, ReplicaState.STARTING)
    assert [piece async for piece in runner.log("rep_1")] == ["text\n"]
    await runner.nodes()
    for replica_id in ("rep_1", "rep_2"):
        await runner.stop(replica_id, 1, 1.0)
    assert world.api.rules is not None
    granted = {(verb, name) for rule in world.api.rules for name in rule["resources"] for verb in rule["verbs"]}
    assert granted == set(world.api.asked)


def test_the_same_options_give_the_same_text(tmp_path: Path) -> None:
    path = tmp_path / "aicp.yaml"
    shown = CliRunner().invoke(app, [*RENDER, "--namespace", "models"])
    assert shown.exit_code == 0, shown.output
    written = CliRunner().invoke(app, [*RENDER, "--namespace", "models", "--output", str(path)])
    assert written.exit_code == 0
    assert path.read_text() == shown.stdout
    assert "namespace: models" in shown.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--namespace", "No"], "AICP_KUBERNETES_NAMESPACE"),
        (["--scheduler", "magic"], "AICP_KUBERNETES_SCHEDULER"),
        (["--models", "here"], "AICP_KUBERNETES_MODELS"),
        (["--output", "/nowhere/x.yaml"], "cannot be written"),
        (["--image", " "], "no container image"),
    ],
)
def test_options_that_cannot_be(words: list[str], message: str) -> None:
    result = CliRunner().invoke(app, [*RENDER, *words])
    assert isinstance(result.exception, InvalidError)
    assert message in result.exception.message
