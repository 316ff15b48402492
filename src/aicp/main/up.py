"""The supervisor: keeps control, gateway and agent running on one data directory. No HTTP, no SQL."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from aicp import __version__
from aicp.core.errors import AicpError, ConflictError
from aicp.core.registry import Registry
from aicp.main.children import Child, ChildPlan, end_unplanned, write_private
from aicp.main.cluster_settings import split_address
from aicp.main.preflight import check_port, ensure_token, explain_unusable, lock_data_dir, prepare_data_dir
from aicp.main.settings import Settings, environment
from aicp.telemetry.processes import OrphanReaper, identify

_BEAT_SECONDS = 2.0
_WITHOUT_AGENT = frozenset({"kubernetes"})
"""Runners that start engines without an agent on this machine."""
RESTART = "gateway-restart"
"""File in which a restart of the gateway says what came of it."""


def main(settings: Settings) -> int:
    """Runs until SIGINT or SIGTERM; the exit status. Raises AicpError when the platform cannot start."""
    data_dir = settings.data_dir
    check_runner(settings)
    if (data_dir / "run" / "node.json").exists():
        raise ConflictError(
            f"{data_dir} is the data directory of a node that has joined another platform.",
            hint="Run `aicp node join` to go on with it, `aicp node leave` to end that, or choose another --data-dir.",
        )
    prepare_data_dir(data_dir)
    lock = lock_data_dir(data_dir)
    try:
        ensure_token(data_dir / "run" / "internal.token")
        write_own_record(data_dir)
        return asyncio.run(Supervisor(settings, child_plans(settings)).run())
    except OSError as error:
        raise explain_unusable(data_dir, error) from error
    finally:
        (data_dir / "run" / "up.json").unlink(missing_ok=True)
        os.close(lock)


def check_runner(settings: Settings) -> None:
    """Raises InvalidError where the chosen runner could not run with its settings on this machine."""
    if settings.runner != "local":  # which has nothing to check
        Registry[Any]("aicp.runners").get(settings.runner).check(settings.runner_options())


def child_plans(settings: Settings) -> tuple[ChildPlan, ...]:
    """The platform's processes, in the order in which they are stopped: the data plane's front first."""

    def command(name: str) -> tuple[str, ...]:
        return (sys.executable, "-m", "aicp.main.server", name)

    address = (settings.gateway_host, settings.gateway_port)
    names = ("gateway", *(f"gateway-{number}" for number in range(2, settings.gateway_processes + 1)))
    # engines get their own grace before the agent ends; leaving by SIGHUP keeps them running
    agent = ChildPlan("agent", command("agent"), settings.agent_socket, 90.0, signal.SIGHUP)
    # killed, Ray's head leaves its processes behind; whoever starts the next one clears them away
    ray = settings.runner == "ray"  # which has checked the address
    head = [ChildPlan("ray-head", command("ray-head"), split_address(settings.ray_address), 20.0)] if ray else []
    return (
        *(ChildPlan(name, command("gateway"), address, 20.0, hands_over=True) for name in names),
        ChildPlan("control", command("control"), (settings.host, settings.port), 20.0),
        *head,
        *([] if settings.runner in _WITHOUT_AGENT else [agent]),
    )


class Supervisor:
    """The processes of one platform."""

    def __init__(self, settings: Settings, plans: Sequence[ChildPlan]) -> None:
        self._settings = settings
        # ModelScope's client would otherwise probe cloud regions before a download
        variables = {"INTRA_CLOUD_ACCELERATION": "false"} | environment() | settings.as_environment()
        digest = f"{settings.digest()}-{__version__}"
        self._children = [Child(plan, settings.data_dir, variables, digest, self._say) for plan in plans]
        self._gateways = [child for child in self._children if child.plan.hands_over]
        self._restarts: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()
        # engines whose agent was killed come to the supervisor
        self._reaper = OrphanReaper()

    async def run(self) -> int:
        """Starts or takes over, then keeps everything running until told to stop; the exit status."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # a platform started with nohup outlives its terminal
            if signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGUSR2, self._restart_gateways)
        await self._take_over()
        self._write_endpoints()
        keepers = {asyncio.create_task(child.keep_running()) for child in self._children}
        others = {asyncio.create_task(self._announce(began)), asyncio.create_task(self._keep_house())}
        stopped = asyncio.create_task(self._stop.wait())
        await asyncio.wait({stopped, *keepers}, return_when=asyncio.FIRST_COMPLETED)
        problems = [keeper.result() for keeper in keepers if keeper.done()]
        for task in others:
            task.cancel()
        self._say("stopping" if not problems else problems[0])
        await asyncio.gather(*(child.stop() for child in self._gateways))
        for child in self._children:
            if child not in self._gateways:
                await child.stop()
        for task in (stopped, *keepers):
            task.cancel()
        self._reaper.reap(at_once=True)
        self._say("stopped")
        return 1 if problems else 0

    def _restart_gateways(self) -> None:
        restart = asyncio.create_task(self._replace_gateways())
        self._restarts.add(restart)
        restart.add_done_callback(self._restarts.discard)

    async def _replace_gateways(self) -> None:
        """One after the other; what came of it is left in a file for who asked."""
        problem = ""
        for child in self._gateways:
            problem = await child.replace()
            if problem:
                self._say(problem)
                break
        with suppress(OSError):
            write_private(self._settings.data_dir / "run" / RESTART, json.dumps({"problem": problem}))

    async def _take_over(self) -> None:
        names = {child.plan.name for child in self._gateways}
        await end_unplanned(self._settings.data_dir / "run", "gateway-*.json", names, self._say)
        planned = {child.plan.name for child in self._children}
        for pattern in ("agent.json", "ray-head.json"):
            await end_unplanned(self._settings.data_dir / "run", pattern, planned, self._say)
        taken = [child for child in self._children if await child.take_over()]
        shared = any(child in taken for child in self._gateways)  # then one of them has the port, which is for all
        for child in self._children:
            plan = child.plan
            if child in taken or isinstance(plan.listens, Path) or (plan.hands_over and shared):
                continue
            settings = {"control": "AICP_PORT", "ray-head": "AICP_RAY_ADDRESS"}
            check_port(*plan.listens, settings.get(plan.name, "AICP_GATEWAY_PORT"))
            if plan.name == "control" and self._settings.cluster_address:
                check_port(*split_address(self._settings.cluster_address), "AICP_CLUSTER_ADDRESS")

    async def _announce(self, began: float) -> None:
        loop = asyncio.get_running_loop()

        async def announce(child: Child) -> None:
            await child.wait_until_ready()
            self._say(f"{child.plan.name} is ready ({loop.time() - began:.1f} s)")

        await asyncio.gather(*(announce(child) for child in self._children))
        self._say(self._addresses())

    def _addresses(self) -> str:
        return f"console {self._settings.control_url}, API {self._settings.gateway_url}/v1"

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(_BEAT_SECONDS)
            self._reaper.reap()
            for child in self._children:
                with suppress(OSError):
                    child.log.rotate()

    def _write_endpoints(self) -> None:
        addresses = {
            "console_url": self._settings.control_url,
            "gateway_url": self._settings.gateway_url,
            "api_base": f"{self._settings.gateway_url}/v1",
        }
        if self._settings.tls_certificate:  # what a command on this machine believes
            addresses["certificate"] = str(self._settings.tls_certificate.absolute())
        write_private(self._settings.data_dir / "run" / "endpoints.json", json.dumps(addresses))

    def _say(self, text: str) -> None:
        with suppress(OSError):
            sys.stderr.write(f"aicp: {text}\n")
            sys.stderr.flush()


def write_own_record(data_dir: Path) -> None:
    """Says who keeps the processes of a data directory running."""
    identity = identify(os.getpid())
    if identity is None:
        raise AicpError("This machine shows no /proc; the platform needs Linux.")
    write_private(data_dir / "run" / "up.json", json.dumps(identity.as_json()))
