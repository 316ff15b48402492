"""Writes each test's outcome to the file that AICP_TEST_REPORT names, one JSON object a line.

`tools/check_required.py` reads it: what did not run is named, and what had to run fails the run.
"""

from __future__ import annotations

import json
import os

import pytest


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keeps the call's outcome, or the set-up's when the call was never reached."""
    path = os.environ.get("AICP_TEST_REPORT")
    if "PYTEST_XDIST_WORKER" in os.environ:  # it hands its reports to the process that started it, which writes them
        return
    if not path or not (report.when == "call" or (report.when == "setup" and report.outcome != "passed")):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
    line = json.dumps({"test": report.nodeid, "outcome": report.outcome, "reason": reason})
    with open(path, "a", encoding="utf-8") as file:
        file.write(line + "\n")
