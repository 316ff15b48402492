"""The REST application over an in-process transport, with a logged-in client for every role.

async with serve_api(lambda parts: {Models: Models(parts.database, parts.clock, parts.bell)}) as api:
    answer = await api.client(Role.DEVELOPER).get("/api/v1/models")
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from fastapi import FastAPI
from tests.support.clock import FakeClock

from aicp.api.access import Authenticator
from aicp.api.app import create_app
from aicp.core.access import Caller
from aicp.core.bell import Bell
from aicp.core.errors import UnauthorizedError
from aicp.core.identity import PLATFORM_ROLES, ROLE_PERMISSIONS, Role
from aicp.store.database import Database

INTERNAL_TOKEN = "internal-token-of-the-tests"
_idle: list[FastAPI] = []


def make_caller(role: Role = Role.PLATFORM_ADMIN, project: str = "default", user: str | None = None) -> Caller:
    """A caller with one role: a platform role holds everywhere, a project role in `project`."""
    name = user or role.value
    permissions = ROLE_PERMISSIONS[role]
    if role in PLATFORM_ROLES:
        return Caller(user=name, user_id=f"usr_{name}", platform=permissions, address="192.0.2.7")
    return Caller(user=name, user_id=f"usr_{name}", projects={project: permissions}, address="192.0.2.7")


class TokenBook:
    """An authenticator that knows the callers it was told of; the token is the caller's user name."""

    def __init__(self) -> None:
        self.callers: dict[str, Caller] = {}

    async def authenticate(self, token: str, *, address: str | None, request_id: str | None) -> Caller:
        if token not in self.callers:
            raise UnauthorizedError("The session does not hold.")
        return replace(self.callers[token], address=address, request_id=request_id)


@dataclass
class Parts:
    """What use cases are built from."""

    database: Database
    clock: FakeClock
    bell: Bell


@dataclass
class Api:
    """A running application."""

    app: FastAPI
    parts: Parts
    book: TokenBook
    _stack: AsyncExitStack
    _clients: dict[str, httpx.AsyncClient] = field(default_factory=dict)

    def client(
        self, role: Role | None = Role.PLATFORM_ADMIN, *, project: str = "default", token: str | None = None
    ) -> httpx.AsyncClient:
        """A client logged in with `role` (in `project` if it is a project role); role None and no token: anonymous."""
        name = token or ""
        if token is None and role is not None:
            name = role.value if role in PLATFORM_ROLES else f"{role.value}-{project}"
            self.book.callers[name] = make_caller(role, project, name)
        if name not in self._clients:
            headers = {"Authorization": f"Bearer {name}"} if name else {}
            transport = httpx.ASGITransport(app=self.app, client=("192.0.2.7", 40000))
            self._clients[name] = httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers)
            self._stack.push_async_callback(self._clients[name].aclose)
        return self._clients[name]

    def internal(self) -> httpx.AsyncClient:
        """A client that is one of the platform's own processes."""
        return self.client(None, token=INTERNAL_TOKEN)


@asynccontextmanager
async def serve_api(
    use_cases: Callable[[Parts], Mapping[type, object]] = lambda _: {},
    *,
    database: Database | None = None,
    **options: Any,
) -> AsyncIterator[Api]:
    """The application with `use_cases` over `database` (None: an empty SQLite file); `options` go to create_app.

    Put `Authenticator` among the use cases to log in for real; else the clients' roles come from a TokenBook. A test
    that adds routes must give an option, so that it gets an application of its own.
    """
    async with AsyncExitStack() as stack:
        if database is None:
            folder = stack.enter_context(TemporaryDirectory())
            database = Database(f"sqlite+aiosqlite:///{folder}/aicp.sqlite")
            stack.push_async_callback(database.close)
            await database.create_all()
        parts = Parts(database, FakeClock(), Bell())
        book = TokenBook()
        cases: dict[type, object] = {Authenticator: book, **use_cases(parts)}
        app = stack.enter_context(_application(options))
        app.state.use_cases = cases
        app.state.internal_token = INTERNAL_TOKEN
        yield Api(app, parts, book, stack)


@contextmanager
def _application(options: dict[str, Any]) -> Iterator[FastAPI]:
    """Building the routes takes longer than most tests; one without options is used again by the next."""
    if options:
        yield create_app({}, **options)
        return
    app = _idle.pop() if _idle else create_app({})
    yield app
    _idle.append(app)
