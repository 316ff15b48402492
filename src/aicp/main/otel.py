"""Settings that OpenTelemetry has environment variables of its own for."""

from __future__ import annotations

import re
from collections.abc import Mapping

DEFAULTS = {"otel_exporter_otlp_endpoint": "", "otel_traces_sampler_arg": "1", "otel_service_name": "aicp-gateway"}
"""By setting, where neither it nor its variable is set."""


def share(text: str) -> float:
    """A part of a whole."""
    number = float(text)
    if not 0 <= number <= 1:
        raise ValueError("write a number from 0 to 1")
    return number


def collector(text: str) -> str | None:
    """The base address of a collector; None for none."""
    if text and not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", text):
        raise ValueError("write an http or https address, such as http://127.0.0.1:4318")
    return text or None


def standard(name: str, variables: Mapping[str, str]) -> str:
    """What OpenTelemetry's own variable says of a setting, or its default."""
    return variables.get(name.upper()) or DEFAULTS[name]
