"""Where the routes of users lead, as gateways need it: choices among destinations, and providers as destinations."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from aicp.control.providers import Outside
from aicp.control.public_routes import leads_to
from aicp.core.model import Visibility
from aicp.core.provider import Provider
from aicp.core.public_route import Destination, Route
from aicp.core.route import ArmEntry, ChoiceEntry, RouteEntry, Target
from aicp.core.service import Service

log = logging.getLogger(__name__)

_MOST_LABEL = 63
"""What usage is kept under is no longer."""


def choices(routes: Sequence[Route], services: Mapping[str, Service]) -> list[ChoiceEntry]:
    """One of each route. What it may not lead to any more is left out: a name may have come to mean something else."""

    def holds(route: Route, end: Destination) -> bool:
        service = services.get(end.service or "")
        return end.provider is not None or (service is not None and leads_to(route, service))

    return [
        ChoiceEntry(
            name=route.name,
            project=None if route.visibility == Visibility.PUBLIC else route.project,
            arms=[ArmEntry(arm.label, arm.weight) for arm in route.arms if holds(route, arm)],
            fallbacks=[end.label for end in route.fallbacks if holds(route, end)],
            sticky=route.sticky.value,
            created_at=route.created_at.timestamp(),
        )
        for route in routes
    ]


def provider_entries(
    routes: Sequence[Route], providers: Sequence[tuple[Provider, bytes | None]], outside: Outside
) -> list[RouteEntry]:
    """A hidden entry for every model of a provider that a route leads to."""
    wanted = {end.label: end for route in routes for end in route.destinations if end.provider is not None}
    known = {provider.name: (provider, _target(provider, sealed, outside)) for provider, sealed in providers}
    found: list[RouteEntry] = []
    for label, end in sorted(wanted.items()):
        provider, target = known.get(end.provider or "", (None, None))
        if provider is None or end.model is None or end.model not in provider.models:
            continue
        found.append(
            RouteEntry(
                name=label,
                service=label[:_MOST_LABEL],
                project=None,
                type="chat",
                engine=provider.name,
                upstream_model=end.model,
                endpoints=[endpoint.value for endpoint in provider.endpoints],
                refused_fields=[],
                targets=[] if target is None else [target],
                reason="the platform is set to be offline" if outside.offline else "" if target else "no credential",
                hidden=True,
            )
        )
    return found


def _target(provider: Provider, sealed: bytes | None, outside: Outside) -> Target | None:
    if outside.offline:
        return None
    try:
        token = None if sealed is None else outside.open(provider.id, sealed)
    except ValueError as error:
        log.error("provider %s is left out: %s; give its credential anew", provider.name, error)
        return None
    return Target(provider.id, provider.base_url, token, networks=[*outside.networks])
