"""Routes, providers and cache rules as documents of `aicp apply` and `aicp export`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aicp.client.rest import Client
from aicp.core.cache_rule import CacheRuleSet
from aicp.core.errors import ForbiddenError, NotFoundError
from aicp.core.provider import Provider, ProviderCreate, ProviderUpdate
from aicp.core.public_route import RouteCreate, RouteUpdate

Document = dict[str, Any]
_PROVIDER_FIELDS = ("description", "base_url", "models", "endpoints")
_ROUTE_FIELDS = ("visibility", "description", "arms", "fallbacks", "sticky")
_SECRET = "Its credential is not exported: add it as `credential`, or with `aicp provider update`."


def apply_provider(client: Client, document: Document, wait: bool) -> str:
    """Adds the provider, or changes what differs; a `credential` in the document is set each time."""
    wanted = ProviderCreate.model_validate({key: value for key, value in document.items() if key != "kind"})
    try:
        present = client.providers.get(wanted.name)
    except NotFoundError:
        client.providers.create(wanted)
        return "created"
    changes = {name: value for name in _PROVIDER_FIELDS if (value := getattr(wanted, name)) != getattr(present, name)}
    if wanted.credential is not None:
        changes["credential"] = wanted.credential
    if not changes:
        return "unchanged"
    client.providers.update(wanted.name, ProviderUpdate(**changes))
    return "changed"


def apply_route(client: Client, document: Document, wait: bool) -> str:
    """Makes the route, or changes what differs."""
    wanted = RouteCreate.model_validate({key: value for key, value in document.items() if key != "kind"})
    try:
        present = client.routes.get(wanted.name)
    except NotFoundError:
        client.routes.create(wanted)
        return "created"
    changes = {name: value for name in _ROUTE_FIELDS if (value := getattr(wanted, name)) != getattr(present, name)}
    if not changes:
        return "unchanged"
    client.routes.update(wanted.name, RouteUpdate(**changes))
    return "changed"


def apply_cache_rule(client: Client, document: Document, wait: bool) -> str:
    """Sets the rule of the model that the document is named after, unless it is so already."""
    project, model = document.get("project", "default"), document["name"]
    fields = {key: value for key, value in document.items() if key not in ("kind", "name", "project")}
    wanted = CacheRuleSet.model_validate(fields)
    found = [rule for rule in client.cache_rules.list(project=project) if rule.model == model]
    if found and all(getattr(found[0], name) == getattr(wanted, name) for name in CacheRuleSet.model_fields):
        return "unchanged"
    client.cache_rules.set(project, model, wanted)
    return "changed" if found else "created"


def cache_rule_documents(client: Client, project: str | None) -> Iterator[tuple[Document, list[str]]]:
    """Rules, after the services and routes whose answers they keep."""
    for rule in client.cache_rules.list(project=project):
        fields = rule.model_dump(mode="json", include={*CacheRuleSet.model_fields}, exclude_none=True)
        yield {"kind": "cache-rule", "name": rule.model, "project": rule.project, **fields}, []


def route_documents(client: Client, project: str | None) -> Iterator[tuple[Document, list[str]]]:
    """Routes, after the providers that they lead to; without a project all providers."""
    routes = client.routes.list(project=project)
    used = {end.provider for route in routes for end in route.destinations}
    for provider in _providers(client):
        if project is None or provider.name in used:
            fields = provider.model_dump(mode="json", include={*_PROVIDER_FIELDS})
            notes = [_SECRET] if provider.has_credential else []
            yield {"kind": "provider", "name": provider.name, **fields}, notes
    for route in routes:
        fields = route.model_dump(mode="json", include={*_ROUTE_FIELDS}, exclude_none=True)
        yield {"kind": "route", "name": route.name, "project": route.project, **fields}, []


def _providers(client: Client) -> list[Provider]:
    """None for who may not see them."""
    try:
        return client.providers.list()
    except ForbiddenError:
        return []
