"""The documented vendors are the real ones, with the word each driver says of itself, and the word is true."""

from __future__ import annotations

import json
from pathlib import Path

from aicp.accelerators.base import AcceleratorDriver
from aicp.core.registry import Registry

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "accelerators.md"
FIXTURES = Path(__file__).parents[2] / "fixtures"
REGISTRY = Registry[AcceleratorDriver]("aicp.accelerators")


def vendor_rows() -> list[list[str]]:
    """The cells of the page's first table."""
    lines = PAGE.read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("| vendor | driver |"))
    rows: list[list[str]] = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.split("|")[1:-1]])
    return rows


def test_every_driver_has_its_row() -> None:
    drivers = {name: REGISTRY.get(name) for name in REGISTRY.names()}
    assert {row[1].strip("`"): (row[0], row[2]) for row in vendor_rows()} == {
        name: (driver.title, driver.evidence) for name, driver in drivers.items()
    }


def test_no_driver_calls_itself_better_tested_than_its_fixtures() -> None:
    for name in REGISTRY.names():
        words = {json.loads(path.read_text())["evidence"] for path in FIXTURES.glob(f"{name}-*.json")}
        if REGISTRY.get(name).evidence == "recorded":
            assert "recorded" in words
        elif words:
            assert words == {"constructed from documentation"}, "a recorded fixture makes the driver's word better"


def test_every_fixture_of_a_vendor_stands_in_its_row() -> None:
    cells = {row[1].strip("`"): row[3] for row in vendor_rows()}
    for path in FIXTURES.glob("*-*.json"):
        assert f"`{path.stem}`" in cells[path.stem.partition("-")[0]]
