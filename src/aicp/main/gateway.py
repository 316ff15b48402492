"""Builds and runs the gateway."""

from __future__ import annotations

import json
import logging
import os
import signal
from pathlib import Path

import uvloop

from aicp.gateway.config import GatewayConfig, MediaRules, SharingRules, TraceRules
from aicp.gateway.server import serve
from aicp.main.preflight import ensure_token, prepare_data_dir
from aicp.main.settings import Settings, environment
from aicp.main.succession import former_of
from aicp.security.redaction import redact
from aicp.security.tls_identity import TlsIdentity
from aicp.telemetry.logs import configure_logs
from aicp.telemetry.processes import read_identity

log = logging.getLogger(__name__)


def main(settings: Settings) -> int:
    """Runs until a signal; the exit status."""
    prepare_data_dir(settings.data_dir)
    configure_logs("gateway", level=settings.log_level, redact=redact)
    takes_over, ready = former_of(environment())
    config = GatewayConfig(
        host=settings.gateway_host,
        port=settings.gateway_port,
        directory=settings.data_dir / "gateway",
        control_url=settings.control_url,
        internal_token=ensure_token(settings.data_dir / "run" / "internal.token"),
        tls_certificate=settings.tls_certificate,
        tls_key=settings.tls_key,
        control_certificate=settings.tls_certificate,
        cluster=TlsIdentity.kept(settings.data_dir / "run" / "authority", "gateway"),
        shared=settings.gateway_processes > 1,
        takes_over=takes_over,
        ready_descriptor=ready,
        media=MediaRules(settings.media_fetch and not settings.offline, settings.media_allowed_networks),
        sharing=SharingRules(_coordinator(settings), settings.limits_without_coordinator == "refuse"),
        traces=_traces(settings),
    )
    uvloop.run(serve(config, restart=lambda: _ask_supervisor(settings.data_dir)))
    return 0


def _coordinator(settings: Settings) -> str:
    """Processes that share a port share their limits, too."""
    return settings.gateway_coordinator or ("file:limits" if settings.gateway_processes > 1 else "")


def _traces(settings: Settings) -> TraceRules | None:
    endpoint = settings.otel_exporter_otlp_endpoint
    if not endpoint:
        return None
    return TraceRules(endpoint, settings.otel_traces_sampler_arg, settings.otel_service_name)


def _ask_supervisor(data_dir: Path) -> None:
    """Whoever looks after a process must start the one that takes over from it."""
    try:
        identity = read_identity(json.loads((data_dir / "run" / "up.json").read_text()))
    except (OSError, ValueError, AttributeError):
        identity = None
    if identity is None or not identity.alive():
        log.warning("no process can take over from this one: no supervisor runs; start it with `aicp up`")
        return
    os.kill(identity.pid, signal.SIGUSR2)
