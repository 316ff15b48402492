"""REST over the accelerator catalogue, advice, and how simulated accelerators show."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from tests.support.api import Api, Parts, serve_api
from tests.support.runner import FakeRunner, make_node_status
from tests.support.services import Platform, make_version

from aicp.accelerators.simulated import SimulatedDriver
from aicp.control.accelerators import AcceleratorCatalog
from aicp.control.metrics import Metrics
from aicp.control.nodes import Nodes
from aicp.control.pools import Pools
from aicp.control.services import Services
from aicp.core.identity import Role
from aicp.store.database import Database

QUESTION = {
    "services": [
        {"name": "embedding", "compute_percent": 25, "measured_on": "4090D", "memory": "3GiB"},
        {"name": "rerank", "compute_percent": 40, "measured_on": "4090D", "memory_bytes": 4294967296},
        {"name": "ocr", "compute_percent": 30, "measured_on": "4090D", "memory": "6GiB"},
    ],
    "cards": ["4090D", {"name": "L20", "at_most": 1}],
}


@dataclass
class Served:
    """The application and the platform behind it."""

    api: Api
    platform: Platform


@pytest.fixture
async def served(sqlite: Database) -> AsyncIterator[Served]:
    """A platform whose one node pretends to have two L20."""
    status = make_node_status()
    devices = [*status.accelerators, *SimulatedDriver([("L20", 2)]).discover()]
    runner = FakeRunner(status.model_copy(update={"accelerators": devices}))
    built: list[Platform] = []

    def use_cases(parts: Parts) -> dict[type, object]:
        platform = Platform(parts.database, parts.clock, bell=parts.bell, runner=runner)
        built.append(platform)
        return {
            Services: platform.services,
            AcceleratorCatalog: AcceleratorCatalog(),
            Nodes: Nodes(parts.database, parts.clock, parts.bell),
            Pools: Pools(parts.database, parts.clock, parts.bell),
            Metrics: Metrics(parts.database, parts.clock),
        }

    async with serve_api(use_cases, database=sqlite) as api:
        yield Served(api, await built[0].prepare(make_version()))


async def test_the_catalogue_is_listed_and_searched(served: Served):
    client = served.api.client()
    everything = (await client.get("/api/v1/accelerator-catalog", params={"limit": 2})).json()
    assert (len(everything["items"]), everything["total"] > 20) == (2, True)
    found = (await client.get("/api/v1/accelerator-catalog", params={"search": "h20", "vendor": "nvidia"})).json()
    assert [item["name"] for item in found["items"]] == ["H20-96G", "H20-141G", "H200"]
    one = (await client.get("/api/v1/accelerator-catalog/nvidia l20")).json()
    assert one["flops_16bit"] == 119.5e12
    assert "LLM-Prof" in one["sources"]["flops_16bit"]
    assert one["slicing"][0]["mechanism"] == "mps"
    missing = await client.get("/api/v1/accelerator-catalog/L21")
    assert missing.status_code == 404
    assert "L20" in missing.json()["error"]["message"]
    assert (await served.api.client(None).get("/api/v1/accelerator-catalog")).status_code == 401


async def test_advice(served: Served):
    answer = await served.api.client().post("/api/v1/pools/advice", json=QUESTION)
    assert answer.status_code == 200, answer.text
    advice = answer.json()
    assert [(card["whole_cards"], card["sliced_cards"], card["fits"]) for card in advice["cards"]] == [
        (3, 1, True),
        (3, 2, False),
    ]
    assert (advice["best"], advice["simulated"]) == ("4090D", True)
    assert [share["service"] for share in advice["cards"][0]["packing"][0]["shares"]] == ["embedding", "rerank", "ocr"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"cards": ["L21"]}, "the closest: L20"),
        ({"cards": []}, "cards"),
        ({"services": [{"name": "a", "memory": "2GiB"}]}, "compute_percent or tflops"),
        ({"services": [{"name": "a", "tflops": 1, "memory": "lots"}]}, "is not a size"),
        ({"reserve": -1}, "reserve"),
        ({"color": "red"}, "color"),
    ],
)
async def test_wrong_questions_are_explained(served: Served, change: dict, said: str):
    answer = await served.api.client().post("/api/v1/pools/advice", json={**QUESTION, **change})
    assert answer.status_code == 422
    assert said in answer.text


async def test_simulated_accelerators_are_marked_at_node_pool_and_overview(served: Served):
    client = served.api.client()
    [node] = (await client.get("/api/v1/nodes")).json()["items"]
    devices = node["status"]["accelerators"]
    assert [device["simulated"] for device in devices] == [False, True, True]
    assert devices[1]["product"] == "NVIDIA L20 48GB (simulated)"
    pool = (await client.get("/api/v1/pools/default")).json()
    assert (pool["accelerators"], pool["accelerators_simulated"]) == (2, 2)
    overview = (await client.get("/api/v1/overview")).json()
    assert overview["accelerators"]["total"] == 1, "the processor; what is made up does not count"


async def test_a_real_engine_is_refused_on_them_and_never_comes_there_by_itself(served: Served):
    client = served.api.client(Role.DEVELOPER)
    plan = (await client.post("/api/v1/services/plan", json={"spec": {"model": "demo"}})).json()
    assert plan["accelerators"] in ([], ["cpu-0"])
    spec = {"model": "demo", "compute": {"vendor": "simulated"}}
    refused = await client.post("/api/v1/services", json={"spec": spec})
    assert refused.status_code == 422
    assert "these accelerators are simulated, and it needs real ones" in refused.text
