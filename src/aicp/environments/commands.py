"""Runs the installers: one process group a command, its lines handed on, nothing left behind when canceled."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from aicp.core.errors import AicpError, NoSpaceError, UnavailableError

_FOR_INSTALLERS = {
    "PATH",
    "HOME",
    "LANG",
    "TMPDIR",
    "XDG_CONFIG_HOME",
    "XDG_CACHE_HOME",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
}
# These would send packages elsewhere, or none at all.
_NEVER = {"PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PIP_DRY_RUN", "PIP_REPORT", "PIP_REQUIRE_VIRTUALENV"}
_KEPT_LINES = 40


class InstallError(AicpError):
    """An installer ended with an error."""

    status = 500
    code = "install_failed"


def installer_environment(parent: Mapping[str, str]) -> dict[str, str]:
    """What an installer may see of `parent`: where the package index is, certificates, proxies, and nothing else."""
    chosen = {
        name: value
        for name, value in parent.items()
        if name in _FOR_INSTALLERS or (name.startswith("PIP_") and name not in _NEVER)
    }
    return {"LANG": "C.UTF-8", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", **chosen}


async def run_command(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    directory: Path,
    log: Path,
    on_line: Callable[[str], None] | None = None,
) -> None:
    """Runs `command` to its end; its output goes to `log` and line by line to `on_line`.

    Raises NoSpaceError, UnavailableError (index not reached) or InstallError with the last lines. When the caller is
    canceled the whole process group is killed before the cancellation goes on.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        env=dict(env),
        cwd=directory,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
        limit=1024 * 1024,
    )
    last: deque[str] = deque(maxlen=_KEPT_LINES)
    try:
        await _drain(process, log, last, on_line)
        code = await process.wait()
    except BaseException:
        _kill_group(process.pid)
        await process.wait()
        raise
    if code != 0:
        raise _explain(command, code, list(last), log)


async def _drain(
    process: asyncio.subprocess.Process, log: Path, last: deque[str], on_line: Callable[[str], None] | None
) -> None:
    assert process.stdout is not None
    with log.open("a", encoding="utf-8") as file:
        async for raw in process.stdout:
            line = raw.decode("utf-8", "replace").rstrip()
            file.write(line + "\n")
            last.append(line)
            if on_line is not None:
                on_line(line)


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _explain(command: Sequence[str], code: int, lines: list[str], log: Path) -> AicpError:
    text = "\n".join(lines)
    details = {"command": " ".join(command), "exit_code": code, "output": lines[-12:], "log": str(log)}
    if "No space left on device" in text:
        return NoSpaceError(
            "The disk became full while an engine was being installed.",
            hint="Free some space, or point AICP_ENVIRONMENTS_DIR at a larger disk; the half-built part is removed.",
            details=details,
        )
    if "DO NOT MATCH THE HASHES" in text:
        return InstallError(
            "A downloaded package does not have the checksum that the lock file demands, so nothing was installed.",
            hint="The index or a proxy in between serves other files than were released. Use a trusted index.",
            code="checksum_mismatch",
            details=details,
        )
    if any(sign in text for sign in ("NewConnectionError", "Name or service not known", "No matching distribution")):
        return UnavailableError(
            "A package that the engine needs could not be found.",
            hint="Check the index that pip uses (PIP_INDEX_URL), or give a folder of packages with AICP_WHEELHOUSE.",
            details=details,
        )
    errors = [line for line in lines if "error" in line.lower()] or lines
    return InstallError(
        f"An installer ended with code {code}: {errors[-1] if errors else 'without a word'}",
        hint=f"All of its output is in {log}.",
        details=details,
    )
