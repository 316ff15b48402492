"""Settings that OpenTelemetry has environment variables of its own for."""

from __future__ import annotations

import re
from collections.abc import Mapping

from aicp.core.errors import InvalidError
from aicp.gateway.config import TraceRules

ENDPOINT, RATIO, SERVICE = "otel_exporter_otlp_endpoint", "otel_traces_sampler_arg", "otel_service_name"
DEFAULTS = {ENDPOINT: "", RATIO: "1", SERVICE: "aicp-gateway"}
"""By setting, where neither it nor its variable is set."""


def share(text: str) -> float:
    """A part of a whole."""
    number = float(text)
    if not 0 <= number <= 1:
        raise ValueError("write a number from 0 to 1")
    return number


def collector(text: str) -> str:
    """The base address of a collector; empty for none."""
    if text and not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", text):
        raise ValueError("write an http or https address, such as http://127.0.0.1:4318")
    return text


def trace_rules(variables: Mapping[str, str]) -> TraceRules | None:
    """What OpenTelemetry's variables alone say. Raises InvalidError."""
    name = ENDPOINT
    try:
        endpoint = collector(standard(name, variables))
        name = RATIO
        ratio = share(standard(name, variables))
    except ValueError as error:
        raise InvalidError(f"{name.upper()} is {standard(name, variables)!r}: {error}.") from error
    return TraceRules(endpoint, ratio, standard(SERVICE, variables)) if endpoint else None


def standard(name: str, variables: Mapping[str, str]) -> str:
    """What OpenTelemetry's own variable says of a setting, or its default."""
    return variables.get(name.upper()) or DEFAULTS[name]
