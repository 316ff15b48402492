"""Builds and runs the agent of this machine."""

from __future__ import annotations

import uvloop

from aicp.agent.serve import AgentConfig, serve
from aicp.core.clock import SystemClock
from aicp.core.simulated_cards import split_cards
from aicp.environments.environments import Environments
from aicp.main.joined_state import read_state
from aicp.main.preflight import ensure_token, prepare_data_dir
from aicp.main.settings import Settings, environment
from aicp.security.redaction import redact
from aicp.telemetry.logs import configure_logs


def main(settings: Settings) -> int:
    """Runs until a signal; the exit status."""
    prepare_data_dir(settings.data_dir)
    configure_logs("agent", level=settings.log_level, redact=redact)
    variables = environment()
    state = read_state(settings.data_dir)
    as_other_user = settings.engine_user != "root"
    config = AgentConfig(
        data_dir=settings.data_dir,
        socket_path=settings.agent_socket,
        token=ensure_token(settings.data_dir / "run" / "internal.token"),
        control_url=settings.control_url if state is None else state.control_url(),
        artifacts_dir=settings.data_dir / "artifacts" if state is None else None,
        environment_store=Environments(
            settings.environments_dir,
            clock=SystemClock(),
            parent=variables,
            wheelhouse=settings.wheelhouse,
            offline=settings.offline,
            for_everyone=as_other_user,
        ),
        inherited=variables,
        engine_user=settings.engine_user,
        control_certificate=settings.tls_certificate if state is None else None,
        membership=None if state is None else state.membership(settings.data_dir),
        simulated=split_cards(settings.simulated_accelerators),
    )
    uvloop.run(serve(config))
    return 0
