"""Everything through TLS with an authority of one's own: by the owner of the machine, and from elsewhere."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletionUserMessageParam
from tests.support.certificates import Authority
from tests.support.platform import DEMO_MODEL, TlsPlatform, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsPlatform]:
    """Started as a person does, with `aicp up`."""
    folder = tmp_path_factory.mktemp("tls")
    platform = TlsPlatform(folder / "data", Authority(folder / "authority"))
    platform.start([sys.executable, "-m", "aicp.cli.app", "up"])
    yield platform
    assert platform.stop() == 0


class Elsewhere:
    """The command line of somebody who has an address, a password and the authority's certificate."""

    def __init__(self, platform: TlsPlatform, home: Path) -> None:
        self.url = f"https://localhost:{platform.port}"
        self._home = home
        self._ca = platform.ca

    def run(self, *words: str, ca: Path | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("AICP_")}
        env = {**clean, "XDG_CONFIG_HOME": str(self._home), "AICP_DATA_DIR": str(self._home / "none"), "COLUMNS": "200"}
        command = [sys.executable, "-m", "aicp.cli.app", "--ca", str(ca or self._ca), *words]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)
        assert not check or done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done


@pytest.fixture
def elsewhere(platform: TlsPlatform, tmp_path: Path) -> Elsewhere:
    return Elsewhere(platform, tmp_path)


def test_from_login_to_an_answer(platform: TlsPlatform, elsewhere: Elsewhere, tmp_path: Path) -> None:
    password = (platform.data_dir / "run" / "admin-password").read_text().strip()
    assert (
        "Logged in as admin" in elsewhere.run("login", elsewhere.url, "--user", "admin", "--password", password).stdout
    )
    told = json.loads(elsewhere.run("status", "--json").stdout)
    assert (told["url"], told["user"]) == (elsewhere.url, "admin")
    assert "aicp login" in told["credential"]
    elsewhere.run("model", "import", str(DEMO_MODEL), "--name", "through")
    elsewhere.run("publish", "through", "--engine", "echo")
    assert "hello" in elsewhere.run("chat", "through", "hello").stdout
    assert "starting echo" in elsewhere.run("logs", "through").stdout
    created = json.loads(elsewhere.run("key", "create", "till", "--model", "through", "--json").stdout)
    with_key = ("chat", "through", "hello", "--key", created["secret"])
    eventually("the key has come to the gateway", lambda: elsewhere.run(*with_key, check=False).returncode == 0)
    assert "hello" in elsewhere.run(*with_key).stdout
    _ask_with_the_official_client(platform, created["secret"])
    _run_a_batch(elsewhere, tmp_path, created["key"]["id"])
    elsewhere.run("key", "revoke", created["key"]["id"], "--yes")
    eventually("the key is refused", lambda: elsewhere.run(*with_key, check=False).returncode == 4)
    elsewhere.run("service", "delete", "through", "--yes")
    elsewhere.run("logout")
    assert elsewhere.run("status", check=False).returncode == 4


def _ask_with_the_official_client(platform: TlsPlatform, key: str) -> None:
    trusting = httpx.Client(verify=ssl.create_default_context(cafile=str(platform.ca)), trust_env=False)
    client = openai.OpenAI(base_url=f"{platform.gateway_url}/v1", api_key=key, http_client=trusting, max_retries=0)
    question: ChatCompletionUserMessageParam = {"role": "user", "content": "hello"}
    answer = client.chat.completions.create(model="through", messages=[question])
    assert "hello" in (answer.choices[0].message.content or "")
    pieces = client.chat.completions.create(model="through", messages=[question], stream=True)
    assert "hello" in "".join(chunk.choices[0].delta.content or "" for chunk in pieces if chunk.choices)


def test_another_authority_is_told_clearly(platform: TlsPlatform, elsewhere: Elsewhere, tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "stranger").file
    for words in (("--url", elsewhere.url, "status"), ("login", elsewhere.url, "--user", "admin", "--password", "x")):
        done = elsewhere.run(*words, ca=stranger, check=False)
        assert done.returncode == 5
        assert "CERTIFICATE_VERIFY_FAILED" in done.stderr
        assert "--ca" in done.stderr
    key = ("chat", "x", "hello", "--key", "sk-x", "--base-url", f"{platform.gateway_url}/v1")
    done = elsewhere.run("--url", elsewhere.url, *key, ca=stranger, check=False)
    assert done.returncode == 5
    assert "--ca" in done.stderr
    missing = elsewhere.run("--url", elsewhere.url, "status", ca=tmp_path / "none.pem", check=False)
    assert missing.returncode == 1
    assert "cannot be read" in missing.stderr


def _run_a_batch(elsewhere: Elsewhere, folder: Path, key_id: str) -> None:
    """From the command line through control and its loop to the gateway, and back."""
    body = {"model": "through", "messages": [{"role": "user", "content": "hello"}]}
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body}
    (folder / "in.jsonl").write_text(json.dumps(line))
    batch = json.loads(elsewhere.run("batch", "create", str(folder / "in.jsonl"), "--key", key_id, "--json").stdout)

    def done() -> bool:
        return "completed" in elsewhere.run("batch", "show", batch["id"]).stdout

    eventually("the batch is done", done, every=0.5)
    result = json.loads(elsewhere.run("batch", "results", batch["id"]).stdout)
    assert "hello" in result["response"]["body"]["choices"][0]["message"]["content"]


def test_the_plain_address_is_told_clearly(platform: TlsPlatform, elsewhere: Elsewhere) -> None:
    done = elsewhere.run("--url", elsewhere.url.replace("https", "http"), "status", check=False)
    assert done.returncode == 5
    assert "https" in done.stderr


def test_the_owner_of_the_machine_names_no_certificate(platform: TlsPlatform) -> None:
    told = json.loads(platform.cli("status", "--json").stdout)
    assert told["url"] == platform.url
    assert platform.cli("node", "list").stdout
    platform.cli("model", "import", str(DEMO_MODEL), "--name", "local")
    published = platform.cli("publish", "local", "--engine", "echo", "--create-key", "--json").stdout
    assert "hello" in platform.cli("chat", "local", "hello").stdout
    key = json.loads(published)["key"]
    asked = ("chat", "local", "hello", "--key", key)
    eventually("the key has come to the gateway", lambda: platform.cli(*asked, check=False).returncode == 0)
    platform.cli("service", "delete", "local", "--yes")


def test_down_and_up_again(platform: TlsPlatform) -> None:
    assert platform.process is not None
    assert "Stopped" in platform.cli("down").stdout
    assert platform.process.wait(60) == 0
    assert f"console {platform.url}" in platform.cli("up", "--detach").stdout
    assert "Stopped" in platform.cli("down").stdout
    platform.start()
