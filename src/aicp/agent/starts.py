"""From a launch spec to the plan of one start: placeholders, an environment built from an empty one, limits."""

from __future__ import annotations

import os
import re
import secrets
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import aicp
from aicp.agent.confinement import View, allow_passage, plan_view
from aicp.agent.launcher import LaunchPlan
from aicp.agent.processes import MARK, TOKEN, digest_of
from aicp.agent.records import ReplicaFiles
from aicp.agent.seats import seat_values
from aicp.agent.site import Site
from aicp.core.accelerator import SIMULATED
from aicp.core.errors import InvalidError, UnavailableError
from aicp.core.launch import Allocation, LaunchSpec, ReplicaMember
from aicp.enforcers.base import Applied

# the only variables of the platform's own environment that an engine sees
INHERITED = ("TZ", "LANG", "LC_ALL", "LD_LIBRARY_PATH")
_PRELOAD = "LD_PRELOAD"
_NONE = "none"  # the enforcer that holds nothing
_PLACEHOLDER = re.compile(
    r"\{(python|model|model_file|listen|port|token|home|threads|rank|leader|group_port|address|interface)\}"
)
_LONGEST_RUN_PATH = 60  # engines put sockets below it whose whole path must fit into 107 bytes
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Start:
    """One start of one member: what to become, where it will answer, and what the enforcers said."""

    plan: LaunchPlan
    address: str | None
    token: str
    notes: list[str]


def prepare_start(
    site: Site, files: ReplicaFiles, replica_id: str, member: ReplicaMember, python: Path | None, model: Path | None
) -> Start:
    """Makes the replica's directories and limits and describes the process. Raises AicpError or OSError."""
    spec, allocation = member.launch, member.allocation
    _refuse_simulated(spec, allocation)
    run = _make_directories(site, files)
    token = secrets.token_urlsafe(24)
    socket_path = run / "e.sock"  # llama.cpp knows a unix socket by this ending
    socket_path.unlink(missing_ok=True)
    port = _free_port() if spec.listen == "tcp" else 0
    values = {
        "python": str(python or sys.executable),
        "model": str(model or ""),
        "model_file": str(model / spec.weights_file) if model and spec.weights_file else "",
        "listen": str(socket_path),
        "port": str(port),
        "token": token,
        "home": str(files.home),
        "threads": str(threads(allocation)),
        **seat_values(member.seat),
    }
    applied = apply_limits(site, replica_id, member.enforcers(), allocation)
    readable = [path for path in (model, *_program_paths(site, spec, python)) if path is not None]
    readable += [Path(path) for one in applied for path in one.readable]
    writable = [Path(path) for one in applied for path in one.writable]
    if site.engine_user is not None:
        for path in writable:
            site.engine_user.own(path)
    plan = LaunchPlan(
        command=_command(spec, values),
        env=_with_enforcers(build_environment(site, replica_id, spec, allocation, values, run), applied),
        directory=str(files.home),
        identity_file=str(files.identity_file),
        token_digest=digest_of(token),
        join=[path for one in applied for path in one.join],
        user_id=site.engine_user.user_id if site.engine_user else None,
        group_id=site.engine_user.group_id if site.engine_user else None,
        view=_view(site, readable, [files.home, run, *writable]),
    )
    addresses = {"unix": f"unix:{socket_path}", "tcp": f"http://127.0.0.1:{port}"}
    return Start(plan, addresses.get(spec.listen), token, [one.note for one in applied])


def apply_limits(site: Site, replica_id: str, enforcers: Sequence[str], allocation: Allocation) -> list[Applied]:
    """Makes the replica's limits, or brings existing ones to `allocation`."""
    return [_apply(site, name, replica_id, allocation) for name in enforcers]


def _refuse_simulated(spec: LaunchSpec, allocation: Allocation) -> None:
    """An engine that needs an environment computes; whatever placed it on devices that are not there was wrong."""
    if spec.environment and any(device.vendor == SIMULATED for device in allocation.devices):
        raise InvalidError(
            f"{spec.engine} was given a simulated accelerator, which cannot compute anything.",
            hint="Publish it on real accelerators; on simulated ones only the engine echo runs.",
        )


def _apply(site: Site, name: str, replica_id: str, allocation: Allocation) -> Applied:
    """A slice that nothing holds to its size would take from its neighbors; whole devices and host limits may."""
    applied = site.enforcers.get(name).apply(replica_id, allocation)
    sliced = [share for share in allocation.devices if share.mechanism == name and share.vendor != SIMULATED]
    if sliced and not applied.enforced and name != _NONE:
        raise UnavailableError(
            f"The slice of {sliced[0].device_id} cannot be held to its size: {applied.note}.",
            hint="Publish it on a whole accelerator, or on a node where the mechanism is available.",
        )
    return applied


def threads(allocation: Allocation) -> int:
    """Threads an engine should use: whole cores of its allocation, at least one."""
    return max(1, int(allocation.cpu_cores))


def build_environment(
    site: Site, replica_id: str, spec: LaunchSpec, allocation: Allocation, values: Mapping[str, str], run: Path
) -> dict[str, str]:
    """The engine's environment, from an empty one: a few fixed variables, the allow-list, devices, then the spec's."""
    home = values["home"]
    env = {
        "PATH": f"{Path(values['python']).parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": home,
        "USER": site.engine_user.name if site.engine_user else "aicp",
        "LANG": "C.UTF-8",
        "TMPDIR": str(run),
        "XDG_CACHE_HOME": f"{home}/.cache",
        "PYTHONUNBUFFERED": "1",
    }
    env["LOGNAME"] = env["USER"]
    env |= {name: value for name, value in (site.inherited or {}).items() if name in INHERITED}
    env |= dict.fromkeys(_THREAD_VARIABLES, values["threads"])
    env |= _visibility(site, allocation)
    env |= {name: fill(value, values) for name, value in spec.env.items()}
    return env | {MARK: replica_id, TOKEN: values["token"]}


def _visibility(site: Site, allocation: Allocation) -> dict[str, str]:
    """Every vendor's devices hidden, then the allocation's shown: several vendors answer to the same variable."""
    names = site.accelerators.names()
    shares = {name: [device for device in allocation.devices if device.vendor == name] for name in names}
    env: dict[str, str] = {}
    for name in sorted(names, key=lambda name: bool(shares[name])):
        env |= site.accelerators.get(name).environment(shares[name])
    return env


def _with_enforcers(env: dict[str, str], applied: Sequence[Applied]) -> dict[str, str]:
    """What the enforcers set, over the rest; of libraries to preload theirs come first and the engine's stay."""
    preloads = [one.env[_PRELOAD] for one in applied if _PRELOAD in one.env] + [env.get(_PRELOAD, "")]
    merged = env | {name: value for one in applied for name, value in one.env.items()}
    return merged | ({_PRELOAD: ":".join(filter(None, preloads))} if any(preloads) else {})


def fill(text: str, values: Mapping[str, str]) -> str:
    """`text` with the known placeholders replaced; other braces stay as they are."""
    return _PLACEHOLDER.sub(lambda match: values.get(match.group(1), match.group(0)), text)


def _command(spec: LaunchSpec, values: Mapping[str, str]) -> list[str]:
    command = [fill(part, values) for part in spec.command]
    if not command or not command[0].startswith("/"):
        raise InvalidError(
            f"The engine driver {spec.engine} describes a command that does not begin with an absolute path.",
            hint="Begin it with {python}.",
        )
    return command


def _make_directories(site: Site, files: ReplicaFiles) -> Path:
    files.directory.mkdir(mode=0o711, parents=True, exist_ok=True)
    run = files.run if len(str(files.run)) <= _LONGEST_RUN_PATH else _short_directory(files.run)
    for path in (files.home, run):
        path.mkdir(mode=0o700, exist_ok=True)
        if site.engine_user is not None:
            site.engine_user.own(path)
    return run


def _short_directory(link: Path) -> Path:
    """The directory behind `link`, made first where a path is short enough for sockets."""
    if not link.is_dir():
        link.unlink(missing_ok=True)
        short = "/run" if os.access("/run", os.W_OK) else tempfile.gettempdir()
        link.symlink_to(tempfile.mkdtemp(prefix="aicp-", dir=short))
    return link.resolve()


def _program_paths(site: Site, spec: LaunchSpec, python: Path | None) -> list[Path]:
    if not spec.environment or python is None:
        return [Path(sys.prefix), Path(sys.base_prefix), Path(aicp.__file__).parents[1]]
    return [site.engines.directory(spec.engine, spec.engine_version, spec.variant), python.resolve().parents[1]]


def _view(site: Site, readable: list[Path], writable: list[Path]) -> View | None:
    if site.engine_user is None:
        return None
    if site.namespaces:
        return plan_view(site.data_dir, readable, writable)
    try:
        for path in (*readable, *writable):
            allow_passage(path, site.engine_user.user_id)
    except OSError as error:
        raise UnavailableError(
            f"Engines run as {site.engine_user.name}, who cannot get to their files: {error.filename} is closed, "
            "this machine allows no namespaces and its file system no access lists.",
            hint="Put AICP_DATA_DIR and AICP_ENVIRONMENTS_DIR where every user may pass, for example /var/lib/aicp, "
            "or let engines run as root with AICP_ENGINE_USER=root.",
        ) from error
    return None


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
