"""Property tests of parsers: no time limit per example, since test machines are shared."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("parsers", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("parsers")
