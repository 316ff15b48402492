"""The use cases of identity, keys, usage and events, as the composition root builds them."""

from __future__ import annotations

from collections.abc import Mapping

from tests.support.api import Parts
from tests.support.clock import FakeClock

from aicp.api.access import Authenticator
from aicp.control.api_keys import ApiKeys
from aicp.control.cache_rules import CacheRules
from aicp.control.changes import Changes
from aicp.control.event_log import EventLog
from aicp.control.gateways import Gateways
from aicp.control.health import Health
from aicp.control.listeners import HostPorts, Listeners
from aicp.control.prices import Prices
from aicp.control.projects import Projects
from aicp.control.request_log import RequestLog
from aicp.control.sessions import Sessions
from aicp.control.traffic import Traffic
from aicp.control.usage import Usage
from aicp.control.users import Users
from aicp.core.identity import Role, User
from aicp.security.passwords import Passwords
from aicp.store.database import Database
from aicp.store.members import Members
from aicp.store.organizations import Organizations
from aicp.store.projects import Projects as StoredProjects
from aicp.store.users import Users as StoredUsers

PEPPER = b"p" * 32
PASSWORD = "correct horse"
HOST_PORTS = HostPorts(control=("127.0.0.1", 8600), gateway=("127.0.0.1", 8601), reserved=((9000, 9099),))


def quick_passwords() -> Passwords:
    """Hashing that costs a test nothing."""
    return Passwords(memory_kib=8)


def identity_cases(parts: Parts) -> Mapping[type, object]:
    """All of them but the authenticator: clients log in by role."""
    passwords = quick_passwords()
    return {
        Sessions: Sessions(parts.database, parts.clock, parts.bell, passwords),
        Users: Users(parts.database, parts.clock, parts.bell, passwords),
        CacheRules: CacheRules(parts.database, parts.clock, parts.bell),
        Listeners: Listeners(parts.database, parts.clock, parts.bell, HOST_PORTS),
        Prices: Prices(parts.database, parts.clock, parts.bell, "USD"),
        Projects: Projects(parts.database, parts.clock, parts.bell),
        ApiKeys: ApiKeys(parts.database, parts.clock, parts.bell, PEPPER),
        RequestLog: RequestLog(parts.database, parts.clock, parts.bell),
        Usage: Usage(parts.database, parts.clock),
        EventLog: EventLog(parts.database, parts.clock),
        Changes: Changes(parts.bell),
        Gateways: Gateways(parts.database, parts.clock, parts.bell),
        Traffic: Traffic(parts.database, parts.clock, "USD"),
        Health: Health(parts.database),
    }


def real_login_cases(parts: Parts) -> Mapping[type, object]:
    """The same with the real authenticator: clients must log in with a password."""
    cases = identity_cases(parts)
    return {**cases, Authenticator: cases[Sessions]}


async def add_project(database: Database, clock: FakeClock, *names: str) -> None:
    """Adds projects, and the organization `default` that owns them."""
    async with database.transaction() as tx:
        if await Organizations(tx).find("default") is None:
            await Organizations(tx).create("default", clock.now())
        for name in names:
            await StoredProjects(tx).create(name, "default", "", clock.now())


async def add_user(
    database: Database, clock: FakeClock, name: str, *roles: Role, password: str = PASSWORD, **projects: Role
) -> None:
    """Adds a user with platform roles and, by keyword, roles in projects that exist."""
    hashed = await quick_passwords().hash(password)
    user = User(id=f"usr_{name}", name=name, platform_roles=list(roles), created_at=clock.now())
    async with database.transaction() as tx:
        await StoredUsers(tx).create(user, hashed)
        for project, role in projects.items():
            await Members(tx).set(project, name, role)
