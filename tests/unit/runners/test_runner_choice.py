"""Which runner a platform has, and what it says where that one cannot run."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from aicp.core.errors import InvalidError
from aicp.core.registry import Registry
from aicp.main.settings import load_settings
from aicp.main.up import check_runner, child_plans
from aicp.runners.base import RunnerDriver


def test_the_runner_is_a_setting(tmp_path: Path) -> None:
    base = {"data_dir": str(tmp_path)}
    assert load_settings(base, {}).runner == "local"
    assert [plan.name for plan in child_plans(load_settings(base, {}))] == ["gateway", "control", "agent"]
    chosen = load_settings({**base, "runner": "kubernetes"}, {"AICP_KUBERNETES_NAMESPACE": "models"})
    assert chosen.runner_options()["namespace"] == "models"
    assert [plan.name for plan in child_plans(chosen)] == ["gateway", "control"], "engines need no agent here"
    with pytest.raises(InvalidError, match="write one of kubernetes, local"):
        load_settings({**base, "runner": "nomad"}, {})


def test_options_are_checked_before_anything_starts(tmp_path: Path) -> None:
    settings = load_settings({"data_dir": str(tmp_path), "runner": "kubernetes", "kubernetes_models": "x"}, {})
    with pytest.raises(InvalidError, match="AICP_KUBERNETES_MODELS"):
        check_runner(settings)


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    driver = Registry[RunnerDriver]("aicp.runners").get("kubernetes")
    with pytest.raises(InvalidError, match="needs the Python package `kubernetes`") as error:
        driver.connect([], {})
    assert "requirements/kubernetes.txt" in (error.value.hint or "")


def test_nothing_of_the_platform_imports_the_package() -> None:
    code = "import sys, aicp.main.control, aicp.cli.app, aicp.runners.kubernetes; sys.exit('kubernetes' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
