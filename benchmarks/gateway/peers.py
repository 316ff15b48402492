"""The peers' environment: made once for each version of peers.txt, in the user's cache, far from ours."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import venv
from pathlib import Path

_REQUIREMENTS = Path(__file__).with_name("peers.txt")
_PROPRIETARY = "litellm-enterprise"
_SHOWN = ("sglang-router", "litellm", _PROPRIETARY)
_VERSIONS = """
import importlib.metadata, json, sys
found = {d.metadata["Name"].lower(): d.version for d in importlib.metadata.distributions()}
print(json.dumps({name: found.get(name, "absent") for name in sys.argv[1:]}))
"""


def peers_environment() -> Path:
    """The directory of the environment; installs it when it is not there. Raises CalledProcessError when it cannot.

    The proprietary part of LiteLLM, which comes with its extra `proxy`, is taken out.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    directory = cache / "aicp-bench" / hashlib.sha256(_REQUIREMENTS.read_bytes()).hexdigest()[:12]
    complete = directory / "complete"
    if not complete.exists():
        print(f"installing the peers into {directory}", flush=True)
        shutil.rmtree(directory, ignore_errors=True)
        venv.create(directory, with_pip=True)
        pip = [directory / "bin" / "python", "-m", "pip", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", "--requirement", _REQUIREMENTS], check=True)
        subprocess.run([*pip, "uninstall", "--yes", _PROPRIETARY], check=True)
        complete.touch()
    return directory


def peers_versions(environment: Path) -> dict[str, str]:
    """Versions of the peers; `absent` for what is not installed."""
    command = [environment / "bin" / "python", "-c", _VERSIONS, *_SHOWN]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
