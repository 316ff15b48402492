"""Nothing is promised twice or leaks while the process dies again and again: `make soak-scheduler`, in short."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from scheduler.lives import live

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def test_the_card_map_is_right_over_many_lives(tmp_path: Path) -> None:
    figures = live(tmp_path / "held.sqlite", 40_000, seed=7)
    assert figures["operations"] == 40_000
    assert min(figures[name] for name in ("crashes", "drains", "moved", "resized", "refused")) > 0
