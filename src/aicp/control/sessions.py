"""Logging in and out, and who is behind a session token."""

from __future__ import annotations

from datetime import timedelta

from aicp.control.login_guard import LoginGuard
from aicp.core.access import Caller
from aicp.core.bell import Bell
from aicp.core.clock import Clock
from aicp.core.errors import InvalidError, UnauthorizedError
from aicp.core.identity import Login, PasswordChange, Preferences, Session, User, permissions_of
from aicp.security.passwords import Passwords
from aicp.security.tokens import make_token, token_digest
from aicp.store import sessions as stored
from aicp.store.database import Database, Transaction
from aicp.store.events import Events
from aicp.store.users import Users

SESSION_LIFE = timedelta(days=7)
LOCAL_SESSION_LIFE = timedelta(days=3650)


class Sessions:
    """Logins. A session ends by logout, after SESSION_LIFE, and when the user's password or platform roles change."""

    def __init__(self, database: Database, clock: Clock, bell: Bell, passwords: Passwords) -> None:
        self._database = database
        self._clock = clock
        self._bell = bell
        self._passwords = passwords
        self._guard = LoginGuard(clock)

    async def login(self, credentials: Login, *, address: str | None, request_id: str | None) -> Session:
        """Opens a session. Raises UnauthorizedError, in the same words whatever was wrong, and
        TooManyRequestsError after too many failures."""
        name = credentials.user.strip().lower()
        async with self._guard.turn(name, address):
            async with self._database.snapshot() as tx:
                user, stored_hash = await Users(tx).find(name), await Users(tx).password_hash(name)
            matches = await self._passwords.verify(stored_hash, credentials.password)
            if user is None or not matches or user.disabled:
                self._guard.failed(name, address)
                await self._note_refusal(name, address, request_id)
                raise UnauthorizedError(
                    "The user name or the password is wrong.",
                    hint="An admin can set a new password.",
                    code="wrong_login",
                )
            self._guard.passed(name, address)
        async with self._database.transaction() as tx:
            now = self._clock.now()
            await Users(tx).update(name, {"last_login_at": now})
            caller = _caller(user, address, request_id)
            await Events(tx).audit(caller, now, "session.login", "user", name)
            return await self._open(tx, user.model_copy(update={"last_login_at": now}))

    async def open_local(self, name: str) -> str:
        """A token for whoever may read the platform's own files on this machine; the earlier one ends."""
        token = make_token()
        async with self._database.transaction() as tx:
            now = self._clock.now()
            await stored.Sessions(tx).end_kind("local")
            await stored.Sessions(tx).create(token_digest(token), name, "local", now, now + LOCAL_SESSION_LIFE)
        return token

    async def authenticate(self, token: str, *, address: str | None, request_id: str | None) -> Caller:
        """The caller with the permissions of this moment. Raises UnauthorizedError for a token that does not hold."""
        user, _ = await self._find(token)
        return _caller(user, address, request_id)

    async def current(self, token: str) -> Session:
        """The session of a token, without the token."""
        user, session = await self._find(token)
        return _session(user, session)

    async def logout(self, caller: Caller, token: str) -> None:
        """Ends the session."""
        async with self._database.transaction() as tx:
            await stored.Sessions(tx).end(token_digest(token))
            await Events(tx).audit(caller, self._clock.now(), "session.logout", "user", caller.user)
        self._bell.ring("user", caller.user)

    async def change_password(self, caller: Caller, change: PasswordChange) -> Session:
        """Sets the caller's own password and opens a new session; all earlier ones end."""
        async with self._guard.turn(caller.user, caller.address):
            async with self._database.snapshot() as tx:
                stored_hash = await Users(tx).password_hash(caller.user)
            if not await self._passwords.verify(stored_hash, change.current):
                self._guard.failed(caller.user, caller.address)
                raise InvalidError("The current password is wrong.", details={"fields": {"current": "wrong"}})
        if change.new == change.current:
            raise InvalidError("The new password is the old one.", details={"fields": {"new": "unchanged"}})
        fresh = await self._passwords.hash(change.new)
        async with self._database.transaction() as tx:
            await Users(tx).update(caller.user, {"password_hash": fresh, "must_change_password": False})
            await stored.Sessions(tx).end_all(caller.user)
            await Events(tx).audit(caller, self._clock.now(), "user.password", "user", caller.user)
            user = await Users(tx).find(caller.user)
            if user is None:
                raise UnauthorizedError("The user was removed.")
            session = await self._open(tx, user)
        self._bell.ring("user", caller.user)
        return session

    async def set_preferences(self, caller: Caller, preferences: Preferences) -> User:
        """Remembers what the console shows to the caller."""
        async with self._database.transaction() as tx:
            await Users(tx).update(caller.user, preferences.model_dump())
            user = await Users(tx).find(caller.user)
        if user is None:
            raise UnauthorizedError("The user was removed.")
        return user

    async def _open(self, tx: Transaction, user: User) -> Session:
        token, now = make_token(), self._clock.now()
        expires_at = now + SESSION_LIFE
        await stored.Sessions(tx).create(token_digest(token), user.name, "login", now, expires_at)
        session = stored.StoredSession(user.name, "login", expires_at)
        return _session(user, session).model_copy(update={"token": token})

    async def _find(self, token: str) -> tuple[User, stored.StoredSession]:
        async with self._database.snapshot() as tx:
            session = await stored.Sessions(tx).find(token_digest(token), self._clock.now())
            user = await Users(tx).find(session.user) if session else None
        if session is None or user is None or user.disabled:
            raise UnauthorizedError("The session does not hold any more.", hint="Log in again.")
        return user, session

    async def _note_refusal(self, name: str, address: str | None, request_id: str | None) -> None:
        # The name is what somebody typed, perhaps a password in the wrong field: only a known one is written down.
        async with self._database.transaction() as tx:
            known = await Users(tx).find(name) is not None
            caller = Caller(user=name if known else "unknown", user_id="", address=address, request_id=request_id)
            await Events(tx).audit(caller, self._clock.now(), "session.refuse", "user", caller.user, severity="warning")


def _caller(user: User, address: str | None, request_id: str | None) -> Caller:
    platform, projects = permissions_of(user.platform_roles, user.projects)
    return Caller(
        user=user.name,
        user_id=user.id,
        platform=platform,
        projects=projects,
        address=address,
        request_id=request_id,
    )


def _session(user: User, session: stored.StoredSession) -> Session:
    platform, projects = permissions_of(user.platform_roles, user.projects)
    permissions = {name: sorted(granted) for name, granted in projects.items()}
    return Session(user=user, permissions=permissions | {"*": sorted(platform)}, expires_at=session.expires_at)
