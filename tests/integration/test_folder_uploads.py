"""`aicp model import --upload` against a real platform: killed, cut off and changed on the way."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.model_files import make_model_dir
from tests.support.platform import Platform, eventually
from tests.support.relay import Relay, relay

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
SIZE = 40_000_000
HELD = 20_000_000


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    platform = Platform(tmp_path_factory.mktemp("uploads") / "data").start()
    yield platform
    platform.stop()


class Sender:
    """The command line behind a line that can be held."""

    def __init__(self, platform: Platform, line: Relay, home: Path, folder: Path) -> None:
        self.platform, self.line, self.folder = platform, line, folder
        self.env = {**platform.env, "XDG_CONFIG_HOME": str(home), "AICP_PORT": str(line.port)}

    def start(self, name: str) -> subprocess.Popen[str]:
        words = ["model", "import", str(self.folder), "--upload", "--name", name]
        return subprocess.Popen(
            [sys.executable, "-m", "aicp.cli.app", *words],
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def finish(self, process: subprocess.Popen[str], *, code: int = 0) -> str:
        told, _ = process.communicate(timeout=300)
        assert process.returncode == code, told
        return told

    def killed_midway(self, name: str) -> None:
        """Sends half of it and dies."""
        self.line.hold_after = self.line.passed + HELD
        process = self.start(name)
        assert self.line.holding.wait(60), process.poll()
        process.kill()
        process.communicate()
        self.line.release()

    def check(self, name: str) -> None:
        """The version holds what the folder holds, and the upload counts no longer."""
        version = self.platform.client.models.get(name).latest
        assert version is not None
        expected = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in self.folder.iterdir()}
        assert {file.path: file.sha256 for file in version.files} == expected
        assert not [upload for upload in self.platform.client.uploads.list() if upload.state != "imported"]
        uploads = self.platform.data_dir / "artifacts" / "uploads"
        eventually("the files of the upload are gone", lambda: not list(uploads.iterdir()))


@pytest.fixture
def sender(platform: Platform, tmp_path: Path) -> Iterator[Sender]:
    folder = make_model_dir(tmp_path / "model", size=SIZE)
    with relay(platform.port) as line:
        yield Sender(platform, line, tmp_path / "home", folder)


def test_a_killed_command_goes_on_when_it_is_run_again(sender: Sender) -> None:
    sender.killed_midway("killed")
    before = sender.line.passed
    told = sender.finish(sender.start("killed"))
    assert "goes on after" in told
    assert sender.line.passed - before < SIZE - HELD + 10_000_000
    sender.check("killed")


def test_a_restarted_control_plane_only_makes_it_wait(platform: Platform, sender: Sender) -> None:
    sender.line.hold_after = sender.line.passed + HELD
    process = sender.start("restarted")
    assert sender.line.holding.wait(60), process.poll()
    old = platform.kill("control")
    sender.line.release()
    told = sender.finish(process)
    assert platform.pid("control") != old
    assert sender.line.passed < SIZE + 20_000_000
    assert "Imported restarted v1" in told
    sender.check("restarted")


def test_a_changed_file_is_noticed_and_everything_is_sent_anew(sender: Sender) -> None:
    sender.killed_midway("changed")
    sender.folder.joinpath("README.md").write_text("another\n")
    told = sender.finish(sender.start("changed"))
    assert "The folder has changed" in told
    sender.check("changed")
