"""`make demo-slices` shows what it says: every slice within its size, every answer right, and nothing left behind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.ocr_images import find_font

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.e2e, pytest.mark.engine, pytest.mark.cgroup, pytest.mark.timeout(1200)]
ROW = re.compile(r"^(\S+) +cgroup +(\d+) % +([\d.]+) % .+ (\d+) +(\d+) +(\d+)$", re.MULTILINE)


def test_it_shows_four_slices_and_takes_all_down_again(tmp_path: Path) -> None:
    if find_font() is None:
        pytest.skip("not run: no font with Chinese letters (Debian: apt-get install fonts-noto-cjk fontconfig)")
    command = [sys.executable, str(ROOT / "demo" / "show_slices.py")]
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=1100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {name: [float(number) for number in numbers] for name, *numbers in ROW.findall(done.stdout)}
    assert set(rows) == {"minilm", "faq-rerank", "roberta-classifier", "reader"}
    for asked, got, right, wrong, failed in rows.values():
        assert 0 < got <= asked + 1
        assert right > 0
        assert (wrong, failed) == (0, 0)
    assert "resized under load from 20 % to 35 %" in done.stdout
    assert "the same process: yes" in done.stdout
    assert list(tmp_path.iterdir()) == [], "the data directory is gone"
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(tmp_path) not in running, "no process is left"
