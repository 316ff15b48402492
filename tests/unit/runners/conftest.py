"""A cluster for tests of the Kubernetes runner."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.kubernetes_world import KubernetesWorld


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[KubernetesWorld]:
    """An API server with one node, and a runner over it."""
    world = KubernetesWorld()
    async with world.serve(tmp_path):
        yield world
