"""What a start of the control plane leaves behind: the first admin, and a token for this machine's own commands."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from aicp.control.projects import DEFAULT_PROJECT
from aicp.control.sessions import Sessions
from aicp.core.clock import Clock
from aicp.core.event import Event, EventQuery
from aicp.core.identity import Role, User
from aicp.core.ids import new_id
from aicp.security.passwords import Passwords, make_password
from aicp.store.database import Database
from aicp.store.events import Events
from aicp.store.organizations import Organizations
from aicp.store.projects import Projects
from aicp.store.users import Users

ADMIN = "admin"
PASSWORD_FILE = "admin-password"
TOKEN_FILE = "admin.token"
_CHANGED = "setting.changed"


async def bootstrap(database: Database, clock: Clock, passwords: Passwords, sessions: Sessions, run_dir: Path) -> None:
    """Makes organization and project `default` and the user `admin` on an empty platform, and a fresh local token.

    The password goes to `run_dir/admin-password` before anything is committed, so that no crash can leave an admin
    whose password nobody knows. Once it was changed the file misleads and is removed.
    """
    async with database.snapshot() as tx:
        empty = not await Users(tx).any_exists()
        first_admin = await Users(tx).find(ADMIN)
    if first_admin is not None and not first_admin.must_change_password:
        (run_dir / PASSWORD_FILE).unlink(missing_ok=True)
    if empty:
        password = make_password()
        password_hash = await passwords.hash(password)
        now = clock.now()
        async with database.transaction() as tx:
            if await Organizations(tx).find(DEFAULT_PROJECT) is None:
                await Organizations(tx).create(DEFAULT_PROJECT, now)
            if await Projects(tx).find(DEFAULT_PROJECT) is None:
                await Projects(tx).create(DEFAULT_PROJECT, DEFAULT_PROJECT, "The first project.", now)
            admin = User(
                id=new_id("usr"),
                name=ADMIN,
                platform_roles=[Role.PLATFORM_ADMIN],
                must_change_password=True,
                created_at=now,
            )
            await Users(tx).create(admin, password_hash)
            await Events(tx).note(now, "platform.init", "user", ADMIN, "The first admin was made.")
            write_private(run_dir / PASSWORD_FILE, password + "\n")
    await _mint_token(database, sessions, run_dir)


async def note_allowed_networks(database: Database, clock: Clock, networks: Sequence[str]) -> None:
    """Writes into the audit log when the administrator opened private networks to imports, or closed them again."""
    name, now = "import_allowed_networks", sorted(networks)
    async with database.transaction() as tx:
        last = (await Events(tx).list(EventQuery(action=_CHANGED, name=name), limit=1)).items
        before = last[0].details.get("after", []) if last else []
        if before == now:
            return
        await Events(tx).add(
            Event(
                id=new_id("evt"),
                at=clock.now(),
                actor="platform",
                action=_CHANGED,
                object_kind="setting",
                object_name=name,
                message=f"Imports may come from these private networks: {', '.join(now) or 'none'}.",
                severity="warning" if now else "info",
                audit=True,
                details={"before": before, "after": now},
            )
        )


async def _mint_token(database: Database, sessions: Sessions, run_dir: Path) -> None:
    async with database.snapshot() as tx:
        admins = await Users(tx).active_with_platform_role(Role.PLATFORM_ADMIN)
    # There always is one: the last cannot be removed or disabled.
    name = ADMIN if ADMIN in admins else admins[0]
    write_private(run_dir / TOKEN_FILE, await sessions.open_local(name))


def write_private(file: Path, text: str) -> None:
    """Writes a file that only its owner may read; readers see the old text or the new, never a part."""
    fresh = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    fresh.rename(file)
