"""What this node is and what it has."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import psutil

import aicp
from aicp.accelerators.base import AcceleratorDriver
from aicp.agent.cutting import Cutting
from aicp.agent.model_copies import ModelCopies
from aicp.core.accelerator import Accelerator
from aicp.core.clock import Clock
from aicp.core.ids import new_id
from aicp.core.node import EnvironmentStatus, NodeStatus
from aicp.core.registry import Registry

log = logging.getLogger(__name__)

_FRESH_SECONDS = 2.0


def read_node_id(file: Path) -> str:
    """The node's own id, made at the first start and kept."""
    if not file.exists():
        unfinished = file.with_suffix(".new")
        unfinished.write_text(new_id("node") + "\n")
        unfinished.rename(file)
    return file.read_text().strip()


class NodeInventory:
    """Asks every registered accelerator driver; answers within two seconds of each other are shared."""

    def __init__(
        self,
        node_id: str,
        data_dir: Path,
        accelerators: Registry[AcceleratorDriver],
        cutting: Cutting,
        copies: ModelCopies,
        environments: Callable[[], list[EnvironmentStatus]],
        clock: Clock,
    ) -> None:
        self._node_id = node_id
        self._data_dir = data_dir
        self._accelerators = accelerators
        self._cutting = cutting
        self._copies = copies
        self._environments = environments
        self._clock = clock
        self._devices: list[Accelerator] = []
        self._measured_at: float | None = None
        self._lock = asyncio.Lock()

    async def status(self) -> NodeStatus:
        """The node now."""
        devices = await self._fresh_devices()
        memory, disk = psutil.virtual_memory(), shutil.disk_usage(self._data_dir)
        machine = next((device for device in devices if device.vendor == "cpu"), None)
        return NodeStatus(
            node_id=self._node_id,
            hostname=socket.gethostname(),
            os=_operating_system(),
            architecture=platform.machine(),
            cpu_cores=(machine.cores if machine else None) or os.cpu_count() or 1,
            memory_bytes=machine.memory_bytes if machine else memory.total,
            memory_used_bytes=(machine.metrics.memory_used_bytes if machine else None)
            or memory.total - memory.available,
            disk_free_bytes=disk.free,
            disk_bytes=disk.total,
            agent_version=aicp.__version__,
            accelerators=devices,
            environments=self._environments(),
            model_digests=self._copies.digests(),
        )

    async def _fresh_devices(self) -> list[Accelerator]:
        async with self._lock:
            now = self._clock.monotonic()
            if self._measured_at is None or now - self._measured_at > _FRESH_SECONDS:
                self._devices = await asyncio.to_thread(self._discover)
                self._measured_at = now
            return self._devices

    def _discover(self) -> list[Accelerator]:
        found: list[Accelerator] = []
        for vendor in self._accelerators.names():
            try:
                driver = self._accelerators.get(vendor)
                found.extend(self._cutting.describe(driver, driver.discover()))
            except Exception:
                # a driver from outside may break its promise; the other vendors' devices must not vanish with it
                log.exception("accelerator driver %s", vendor)
        return found


def _operating_system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.platform()
