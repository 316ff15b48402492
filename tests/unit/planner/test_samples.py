"""What is published or changed, as text to copy."""

from __future__ import annotations

import pytest
import yaml
from tests.support.clock import FakeClock

from aicp.core.model import ModelType
from aicp.core.service import Service, ServiceCreate, ServiceSpec, ServiceState, ServiceUpdate
from aicp.planner.samples import publish_texts, update_command


def service(spec: ServiceSpec) -> Service:
    now = FakeClock().now()
    return Service(
        id="srv_1",
        name="demo",
        project="default",
        type=ModelType.CHAT,
        spec=spec,
        model_version="demo:v1",
        state=ServiceState.READY,
        generation=1,
        observed_generation=1,
        created_at=now,
        updated_at=now,
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"preemptible": False}, "--not-preemptible"),
        ({"priority": 0}, "--priority 0"),
        ({"priority": -7, "preemptible": False}, "--priority -7 --not-preemptible"),
    ],
    ids=["makes no room", "usual priority", "both"],
)
def test_a_change_of_what_makes_room_is_said_as_the_command_reads_it(changes: dict[str, object], said: str) -> None:
    spec = ServiceSpec(model="demo", preemptible=True, priority=3)
    command = update_command(service(spec), ServiceUpdate(), spec.model_copy(update=changes))
    assert command == f"aicp service update demo {said}"


def test_a_publish_says_that_it_makes_room_in_all_its_texts() -> None:
    body = ServiceCreate(spec=ServiceSpec(model="demo", priority=-3, preemptible=True))
    texts = publish_texts("demo", body, "http://platform")
    assert texts["cli"] == "aicp publish demo --priority -3 --preemptible"
    assert '"preemptible": true' in texts["curl"]
    [document] = yaml.safe_load_all(texts["yaml"])
    assert (document["spec"]["priority"], document["spec"]["preemptible"]) == (-3, True)
