"""The supervisor of a joined node: one agent. The first start joins; later ones need no token."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from dataclasses import asdict
from pathlib import Path

from aicp.agent.node import read_node_id
from aicp.client.joins import join
from aicp.core.errors import ConflictError, InvalidError
from aicp.core.join import JoinRequest, JoinWish
from aicp.main.children import ChildPlan, write_private
from aicp.main.cluster_settings import split_address
from aicp.main.joined_state import JoinedState, read_state, state_file
from aicp.main.preflight import ensure_token, explain_unusable, lock_data_dir, prepare_data_dir
from aicp.main.ray_membership import MEMBERSHIP, become_member
from aicp.main.settings import Settings
from aicp.main.up import Supervisor, write_own_record
from aicp.security.authority import make_key, make_request, write_secret


def main(settings: Settings) -> int:
    """Runs until SIGINT or SIGTERM; the exit status. Raises AicpError when the machine cannot join."""
    data_dir = settings.data_dir
    prepare_data_dir(data_dir)
    lock = lock_data_dir(data_dir)
    try:
        ensure_token(data_dir / "run" / "internal.token")
        state = _joined_state(data_dir, _take_wish(data_dir / "run" / "join.json"))
        write_own_record(data_dir)
        return asyncio.run(_NodeSupervisor(settings, state, _plan(settings)).run())
    except OSError as error:
        raise explain_unusable(data_dir, error) from error
    finally:
        (data_dir / "run" / "up.json").unlink(missing_ok=True)
        os.close(lock)


def _plan(settings: Settings) -> ChildPlan:
    """The agent, or Ray's node, which starts it; either way it is ready when the agent answers."""
    by_ray = (_ray_dir(settings.data_dir) / MEMBERSHIP).exists()
    command = (sys.executable, "-m", "aicp.main.server", "ray-node" if by_ray else "agent")
    return ChildPlan("agent", command, settings.agent_socket, 120.0 if by_ray else 90.0, signal.SIGHUP)


def _ray_dir(data_dir: Path) -> Path:
    return data_dir / "run" / "ray"


class _NodeSupervisor(Supervisor):
    """Says to whom the node belongs; it has no console and no API of its own."""

    def __init__(self, settings: Settings, state: JoinedState, plan: ChildPlan) -> None:
        self._state = state
        super().__init__(settings, (plan,))

    def _write_endpoints(self) -> None:
        pass

    def _addresses(self) -> str:
        return f"node of the platform at {self._state.control}, reached as {self._state.host}"


def _take_wish(file: Path) -> JoinWish | None:
    """What `aicp node join` wants, once: the token in it is not kept."""
    try:
        return JoinWish(**json.loads(file.read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise InvalidError(f"{file} is damaged.", hint="Run `aicp node join` again.") from error
    finally:
        file.unlink(missing_ok=True)


def _joined_state(data_dir: Path, wish: JoinWish | None) -> JoinedState:
    state = read_state(data_dir)
    if state is not None:
        if wish is not None and wish.control != state.control:
            raise ConflictError(
                f"This machine belongs to the platform at {state.control} already.",
                hint="Run `aicp node leave` first, or choose another --data-dir.",
            )
        return state
    if (data_dir / "db" / "aicp.sqlite").exists() or (data_dir / "run" / "pepper").exists():
        raise ConflictError(
            f"{data_dir} is the data directory of a platform of its own.", hint="Choose another one with --data-dir."
        )
    if wish is None or not wish.token:
        raise InvalidError(
            "This machine has not joined a platform yet.", hint="Run `aicp node join HOST:PORT --token TOKEN`."
        )
    return _join(data_dir, wish)


def _join(data_dir: Path, wish: JoinWish) -> JoinedState:
    host, port = _own_address(wish.host)
    control = wish.control
    bind = host if host and _is_own(host) else ""
    try:
        split_address(control)
    except ValueError as error:
        raise InvalidError(f"{control!r} is no address of a platform: {error}.") from error
    node_id = read_node_id(data_dir / "agent" / "node.id")
    key = make_key()
    with _take(bind, port) as taken:  # taken while the platform is told of it
        port = int(taken.getsockname()[1])
        asked = JoinRequest(
            request=make_request(key), node_id=node_id, hostname=socket.gethostname(), host=host or None, port=port
        )
        joined = join(control, wish.token, asked)
    state = JoinedState(control, joined.host, bind, port, wish.engine_port)
    directory = data_dir / "run" / "authority"
    directory.mkdir(mode=0o700, exist_ok=True)
    for name, text in (("ca.pem", joined.authority), ("node.key", key), ("node.pem", joined.certificate)):
        write_secret(directory / name, text)
    if joined.ray is not None:
        become_member(_ray_dir(data_dir), joined.ray, node_id)
    write_private(state_file(data_dir), json.dumps(asdict(state)))
    sys.stderr.write(f"aicp: joined the platform at {control}\n")
    return state


def _own_address(given: str) -> tuple[str, int]:
    """Host and port by which others reach this machine, as given; empty and 0 where not."""
    bare = given.startswith("[") and given.endswith("]")
    if bare or (given.count(":") != 1 and not given.startswith("[")):
        return given.strip("[]"), 0
    try:
        return split_address(given)
    except ValueError as error:
        raise InvalidError(
            f"{given!r} is no address of this machine: {error}.", hint="Write HOST or HOST:PORT."
        ) from error


def _is_own(host: str) -> bool:
    try:
        _take(host, 0).close()
    except OSError:
        return False
    return True


def _take(bind: str, port: int) -> socket.socket:
    both = not bind and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both or ":" in bind else socket.AF_INET
    try:
        return socket.create_server((bind, port), family=family, dualstack_ipv6=both)
    except OSError as error:
        if not port:
            raise
        raise ConflictError(
            f"Port {port} of this machine cannot be listened on: {error.strerror}.",
            hint="Choose another one with --address HOST:PORT.",
        ) from error
