"""Running a vendor's tool: absent, slow, failing, and speaking."""

from __future__ import annotations

from pathlib import Path

import pytest

from aicp.enforcers._vendor_tool import VendorTool


def install(directory: Path, body: str) -> Path:
    program = directory / "tool"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    return directory


def test_absent(tmp_path: Path) -> None:
    tool = VendorTool("tool", [tmp_path])
    assert tool.path() is None
    assert tool.run("list").problem == "tool is not installed"


def test_a_file_that_cannot_be_run_is_not_installed(tmp_path: Path) -> None:
    (tmp_path / "tool").write_text("")
    assert VendorTool("tool", [tmp_path]).path() is None


def test_arguments_reach_it_as_they_are(tmp_path: Path) -> None:
    answer = VendorTool("tool", [tmp_path / "none", install(tmp_path, 'echo "$1|$2"')]).run("a b", "$(id);*")
    assert (answer.text, answer.problem) == ("a b|$(id);*\n", None)


def test_its_complaint_is_told(tmp_path: Path) -> None:
    answer = VendorTool("tool", [install(tmp_path, "echo the card is; echo busy >&2; exit 3")]).run("make")
    assert answer.problem == "tool make: the card is busy"
    assert VendorTool("tool", [install(tmp_path, "exit 3")]).run("make").problem == "tool make: it ended with 3"


def test_it_may_not_hang_nor_ask(tmp_path: Path) -> None:
    slow = VendorTool("tool", [install(tmp_path, "exec sleep 60")], patience_seconds=0.1)
    assert slow.run().problem == "tool did not answer within 0.1 s"
    asks = VendorTool("tool", [install(tmp_path, "read answer || echo nobody answers")])
    assert asks.run().text == "nobody answers\n"


def test_it_does_not_see_the_secrets_of_the_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AICP_SECRET", "s3cret")
    text = VendorTool("tool", [install(tmp_path, "env")], libraries=["/opt/driver/lib"]).run().text
    assert "s3cret" not in text
    assert "LD_LIBRARY_PATH=/opt/driver/lib" in text


def test_no_program_of_its_format(tmp_path: Path) -> None:
    (tmp_path / "tool").write_bytes(b"\x7fELF")
    (tmp_path / "tool").chmod(0o755)
    assert "could not be run" in (VendorTool("tool", [tmp_path]).run().problem or "")
