"""Builds and runs the gateway."""

from __future__ import annotations

import uvloop

from aicp.gateway.config import GatewayConfig, MediaRules, SharingRules, TraceRules
from aicp.gateway.server import serve
from aicp.main.preflight import ensure_token, prepare_data_dir
from aicp.main.settings import Settings
from aicp.security.redaction import redact
from aicp.telemetry.logs import configure_logs


def main(settings: Settings) -> int:
    """Runs until a signal; the exit status."""
    prepare_data_dir(settings.data_dir)
    configure_logs("gateway", level=settings.log_level, redact=redact)
    config = GatewayConfig(
        host=settings.gateway_host,
        port=settings.gateway_port,
        directory=settings.data_dir / "gateway",
        control_url=settings.control_url,
        internal_token=ensure_token(settings.data_dir / "run" / "internal.token"),
        tls_certificate=settings.tls_certificate,
        tls_key=settings.tls_key,
        control_certificate=settings.tls_certificate,
        media=MediaRules(settings.media_fetch and not settings.offline, settings.media_allowed_networks),
        sharing=SharingRules(settings.gateway_coordinator, settings.limits_without_coordinator == "refuse"),
        traces=_traces(settings),
    )
    uvloop.run(serve(config))
    return 0


def _traces(settings: Settings) -> TraceRules | None:
    endpoint = settings.otel_exporter_otlp_endpoint
    if not endpoint:
        return None
    return TraceRules(endpoint, settings.otel_traces_sampler_arg, settings.otel_service_name)
