"""What `make run` promises, over TLS: run again, data and key are kept; Ctrl-C leaves nothing; `clean` revokes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.support.certificates import Authority
from tests.support.platform import TlsPlatform, eventually

from aicp.core.api_key import KeyState

pytestmark = [pytest.mark.e2e, pytest.mark.engine, pytest.mark.timeout(1800)]
FIELDS = ["console_url", "api_base", "api_key", "model", "admin_user", "admin_password"]


def _as_a_terminal_does() -> None:
    """What runs in the background of a script ignores Ctrl-C, and hands that on; a shell's foreground does not."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Quickstart:
    """`aicp quickstart` in a terminal; `output` is all it has printed so far."""

    def __init__(self, platform: TlsPlatform) -> None:
        self.platform = platform
        self._log = platform.data_dir.parent / "quickstart.log"
        with self._log.open("w") as log:
            command = [sys.executable, "-m", "aicp.cli.app", "quickstart"]
            self.process = subprocess.Popen(
                command,
                env=platform.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_as_a_terminal_does,
            )

    @property
    def output(self) -> str:
        return self._log.read_text()

    def family(self) -> list[psutil.Process]:
        """Every process that came of it: supervisor, control, gateway, agent and engines."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def interrupt(self) -> tuple[int, list[psutil.Process]]:
        """Ctrl-C: the exit status, and what is alive afterwards."""
        family = self.family()
        assert family
        self.process.send_signal(signal.SIGINT)
        status = self.process.wait(150)
        _, alive = psutil.wait_procs(family, timeout=5)
        return status, alive


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> TlsPlatform:
    folder = tmp_path_factory.mktemp("quickstart")
    return TlsPlatform(folder / "data", Authority(folder / "authority"))


@pytest.fixture(scope="module")
def first(platform: TlsPlatform) -> dict[str, Any]:
    """What the first run wrote."""
    done = platform.cli("quickstart", AICP_RUN_ONCE="1")
    assert "/chat/completions" in done.stdout
    assert "--cacert" in done.stdout
    return facts(platform)


@pytest.fixture(scope="module")
def second(platform: TlsPlatform, first: dict[str, Any]) -> Iterator[Quickstart]:
    """The same again on the same data, left up; its demo answer has arrived."""
    run = Quickstart(platform)
    try:
        eventually("the second run is up", lambda: stays_up(run), seconds=600)
        yield run
    finally:
        if run.process.poll() is None:
            run.interrupt()


def stays_up(run: Quickstart) -> bool:
    assert run.process.poll() is None, run.output
    return "The platform stays up" in run.output


def facts(platform: TlsPlatform) -> dict[str, Any]:
    return json.loads((platform.data_dir / "quickstart.json").read_text())


def test_an_early_interrupt_leaves_nothing(tmp_path: Path) -> None:
    platform = TlsPlatform(tmp_path / "data", Authority(tmp_path / "authority"))
    run = Quickstart(platform)
    eventually("it has begun", (platform.data_dir / "run" / "endpoints.json").is_file, seconds=60)
    assert run.interrupt() == (130, [])
    assert "Stopping" in run.output
    assert "Traceback" not in run.output
    assert not (platform.data_dir / "quickstart.json").exists()


def test_the_file_is_private_and_complete(platform: TlsPlatform, first: dict[str, Any]) -> None:
    path = platform.data_dir / "quickstart.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(first) == FIELDS
    assert first["console_url"] == platform.url
    assert first["api_base"] == f"{platform.gateway_url}/v1"
    assert not (platform.data_dir / "run" / "up.json").exists(), "AICP_RUN_ONCE=1 leaves nothing running"


def test_run_again_does_nothing_twice_and_keeps_everything(
    platform: TlsPlatform, first: dict[str, Any], second: Quickstart
) -> None:
    assert facts(platform) == first, "the key is taken again"
    assert "Importing" not in second.output
    assert "Installing" not in second.output
    client = platform.client
    assert [model.name for model in client.models.list()] == ["aicp-demo"]
    assert [version.version for version in client.models.versions("aicp-demo")] == ["v1"]
    assert client.services.get("aicp-demo").generation == 1
    assert [key.name for key in client.keys.list(state=KeyState.ACTIVE)] == ["quickstart"]


def test_clean_revokes_its_own_key_only(platform: TlsPlatform, second: Quickstart) -> None:
    own = facts(platform)["api_key"]
    strangers = platform.client.keys.create("quickstart").secret
    assert platform.chat(own, "aicp-demo", "What is aicp?", max_tokens=4).status_code == 200
    eventually("the other key", lambda: platform.chat(strangers, "aicp-demo", "hi", max_tokens=1).status_code == 200)
    platform.cli("quickstart", "clean")
    assert not (platform.data_dir / "quickstart.json").exists()
    eventually("its key is refused", lambda: platform.chat(own, "aicp-demo", "hi", max_tokens=1).status_code == 401)
    assert platform.chat(strangers, "aicp-demo", "hi", max_tokens=1).status_code == 200
    assert "no key to revoke" in platform.cli("quickstart", "clean").stdout


def test_ctrl_c_stops_everything(second: Quickstart) -> None:
    assert len(second.family()) >= 5, "supervisor, three processes and an engine"
    assert second.interrupt() == (0, [])
    assert "Stopping" in second.output
    assert "Traceback" not in second.output
