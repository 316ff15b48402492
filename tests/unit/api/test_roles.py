"""Every role on every route, read from the contract."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.api import TokenBook, serve_api

from aicp.api.access import Authenticator
from aicp.api.app import create_app
from aicp.core.errors import AicpError
from aicp.core.identity import ROLE_PERMISSIONS, Permission, Role

OPEN = {"healthz", "readyz", "login"}
"""Routes that anybody may call. Whoever adds one must say here that it gives nothing away."""

LOGGED_IN = {
    # one's own session
    "get_session",
    "logout",
    "change_password",
    "set_preferences",
    # each change is shown only to who may see what changed
    "stream_changes",
    "get_version",
}
"""Routes that need a session and no permission. Whoever adds one must say here why."""

WITHIN_USE_CASES: set[Permission] = set()
"""Permissions that no route demands, because the use case asks for them."""

DOCUMENT = create_app({}).openapi()


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), re.sub(r"\{[^}]+\}", "x", path), operation


ROUTES = {operation["operationId"]: (method, path) for method, path, operation in operations()}
DEMANDS = {
    operation["operationId"]: Permission(operation["x-permission"])
    for _, _, operation in operations()
    if "x-permission" in operation
}


class ReachedError(AicpError):
    """The request passed all walls and reached its use case."""

    status = 418


class NoUseCases(dict[type, object]):
    """Tells that a use case was asked for."""

    def __getitem__(self, wanted: type) -> object:
        if wanted in self:
            return super().__getitem__(wanted)
        raise ReachedError(wanted.__name__)


def test_every_route_demands_a_permission_or_is_on_the_reviewed_list():
    assert set(ROUTES) - set(DEMANDS) == OPEN | LOGGED_IN


def test_every_permission_opens_something():
    assert set(Permission) - set(DEMANDS.values()) - WITHIN_USE_CASES == set()


def test_every_operation_has_a_name_of_its_own_and_a_described_answer():
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(names) == len(set(names))
    for method, path, operation in operations():
        assert re.fullmatch(r"[a-z][a-z0-9_]*", operation["operationId"])
        assert operation.get("description"), operation["operationId"]
        answers = operation["responses"]
        success = next(answers[status] for status in ("200", "201", "202", "204") if status in answers)
        if "204" not in answers:
            content = success.get("content", {})
            assert content, f"{method} {path} does not say what it answers"
            json_answer = content.get("application/json")
            assert json_answer != {"schema": {}}, f"{method} {path} answers anything"
        assert "ErrorResponse" in str(answers["422"]), operation["operationId"]


@pytest.fixture
async def api():
    book = TokenBook()
    async with serve_api() as served:
        served.app.state.use_cases = NoUseCases({Authenticator: book})
        served.book = book
        yield served


@pytest.mark.parametrize("role", list(Role))
async def test_a_role_passes_exactly_where_it_has_the_permission(api, role: Role):
    client = api.client(role)
    wrong: list[str] = []
    for name, (method, path) in ROUTES.items():
        if name in OPEN or name == "stream_changes":
            continue
        allowed = name in LOGGED_IN or DEMANDS[name] in ROLE_PERMISSIONS[role]
        status = (await client.request(method, path, json={})).status_code
        # 422: what was sent made no sense, which is found out only behind the walls.
        passed = status in (200, 418, 422)
        if passed != allowed or (not passed and status != 403):
            wrong.append(f"{name}: {status}, {'allowed' if allowed else 'refused'} by the table")
    assert wrong == []


async def test_nobody_passes_without_a_session(api):
    for client in (api.client(None), api.client(token="made up")):
        answers = {
            name: (await client.request(method, path, json={})).status_code
            for name, (method, path) in ROUTES.items()
            if name not in OPEN
        }
        assert {name: status for name, status in answers.items() if status != 401} == {}


def test_roles_grow_from_viewer_to_platform_admin():
    viewer, developer = ROLE_PERMISSIONS[Role.VIEWER], ROLE_PERMISSIONS[Role.DEVELOPER]
    owner, admin = ROLE_PERMISSIONS[Role.PROJECT_ADMIN], ROLE_PERMISSIONS[Role.PLATFORM_ADMIN]
    assert viewer < developer < owner < admin == set(Permission)
    writes = {permission for permission in Permission if permission.value.endswith(":write")}
    assert not ROLE_PERMISSIONS[Role.AUDITOR] & writes
    assert ROLE_PERMISSIONS[Role.KEY_ADMIN] & writes == {Permission.KEY_WRITE}
    # what people said to a model is in the logs: for those who run the service, not for who looks at records
    assert Permission.LOG_READ not in ROLE_PERMISSIONS[Role.AUDITOR] | viewer
