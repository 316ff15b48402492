"""Usage is counted once while both who write it and who count it are killed: `make soak-usage`, in short."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from soak_usage import soak

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


def test_rows_survive_the_death_of_gateway_and_control(tmp_path: Path) -> None:
    figures = soak(tmp_path, 60_000, lives=((1.0, 4.0), (2.0, 8.0)), most_kills=(6, 3))
    assert figures["rows"] > 50_000
    assert figures["kills"]["gateway"] > 1
    assert figures["kills"]["control"] > 0
    assert figures["missing"] == figures["counted_twice"] == 0
