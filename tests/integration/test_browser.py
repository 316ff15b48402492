"""The console in real Chromium against the real platform: the specs of console/tests."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.support.walk import Walk

CONSOLE = Path(__file__).parents[2] / "console"
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or ""
WALK = ["models", "publish", "playground", "keys"]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.engine,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not CHROMIUM, reason="Debian's chromium is not installed"),
    pytest.mark.skipif(not (CONSOLE / "node_modules").is_dir(), reason="the console's packages are not installed"),
]


def run_specs(walk: Walk, *specs: str) -> None:
    env = {
        **os.environ,
        "CHROMIUM": CHROMIUM,
        "AICP_CONSOLE_URL": walk.platform.url,
        "AICP_ADMIN_PASSWORD": walk.facts["admin_password"] or "",
        "AICP_CONSOLE_MODEL": walk.facts["model"],
        "AICP_CONSOLE_SERVICE": walk.facts["model"],
    }
    files = [f"tests/{spec}.spec.ts" for spec in specs]
    done = subprocess.run(
        ["npx", "playwright", "test", "tests/login.setup.ts", *files],
        cwd=CONSOLE,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-2000:]}"


def test_first_login_import_publish_chat_and_key(walk: Walk) -> None:
    run_specs(walk, *WALK)


@pytest.mark.e2e
def test_every_page(walk: Walk) -> None:
    specs = sorted(path.name.removesuffix(".spec.ts") for path in (CONSOLE / "tests").glob("*.spec.ts"))
    run_specs(walk, *(spec for spec in specs if spec not in WALK))
