"""The documented vendors are the real ones, with the word each driver says of itself."""

from __future__ import annotations

from pathlib import Path

from aicp.accelerators.base import AcceleratorDriver
from aicp.core.registry import Registry

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "accelerators.md"


def test_every_driver_has_its_row() -> None:
    registry = Registry[AcceleratorDriver]("aicp.accelerators")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in PAGE.read_text().splitlines() if "| `" in line]
    drivers = {name: registry.get(name) for name in registry.names()}
    assert {row[1].strip("`"): (row[0], row[2]) for row in rows} == {
        name: (driver.title, driver.evidence) for name, driver in drivers.items()
    }
