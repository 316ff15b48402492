"""The accounts of all limited scopes: a request takes from its key, its project and its organization, or from none."""

from __future__ import annotations

import calendar
from collections.abc import Iterable
from datetime import UTC, datetime

from aicp.core.route import KeyEntry, LimitsEntry, RouteTable, Total, Totals
from aicp.gateway.limits import Account, Calendar, Room, over_limit
from aicp.gateway.record import Record

_DAY = 86_400


class Grant:
    """What one request has reserved; closed once."""

    __slots__ = ("_accounts", "_reserved")

    def __init__(self, accounts: tuple[Account, ...], reserved: tuple[int, int]) -> None:
        self._accounts, self._reserved = accounts, reserved

    def close(self, record: Record, now: float, segment: int) -> None:
        """Replaces the reservation by the use in `record`, which is written in `segment` of the log.

        An engine that answers and tells no count leaves the estimate of the input in force for the minute.
        """
        prompt, output = record.prompt_tokens, record.completion_tokens or 0
        counted = (prompt or 0) + output
        if prompt is None:
            prompt = self._reserved[0] if record.replica_id is not None and record.status == 200 else 0
        for account in self._accounts:
            account.end(self._reserved, (prompt, output), now)
            if counted and account.has_quota:
                account.quota.add(counted, segment, record.started_at.timestamp())


class Accounts:
    """All accounts by scope (`key:<id>`, `project:<name>`, `organization:<name>`). They outlive route tables."""

    def __init__(self) -> None:
        self._accounts: dict[str, Account] = {}
        self._project: dict[str, tuple[str, ...]] = {}
        self._calendar = Calendar(-1, 0, 0, 0)

    @property
    def has_quotas(self) -> bool:
        """Whether any scope has a limit by day or month, so that the store's totals are needed."""
        return any(account.has_quota for account in self._accounts.values())

    def swap(self, table: RouteTable) -> None:
        """Takes the limits of a new table; counts of scopes that are still limited go on."""
        before, self._accounts = self._accounts, {}
        for key in table.keys:
            self._keep(before, f"key:{key.id}", "This key", key.limits)
        for project in table.projects:
            self._keep(before, f"project:{project.name}", f"The project {project.name!r}", project.limits)
        for organization in table.organizations:
            name = f"The organization {organization.name!r}"
            self._keep(before, f"organization:{organization.name}", name, organization.limits)
        self._project = {
            project.name: (f"project:{project.name}", f"organization:{project.parent}") for project in table.projects
        }

    def of(self, key: KeyEntry) -> tuple[Account, ...]:
        """The accounts that a key takes from."""
        scopes = (f"key:{key.id}", *self._project.get(key.project, ()))
        return tuple(self._accounts[scope] for scope in scopes if scope in self._accounts)

    def reserve(self, accounts: tuple[Account, ...], prompt: int, output: int, now: float, at: datetime) -> Grant:
        """Takes from all of `accounts` or from none. `now` is monotonic, `at` the time of day. Raises ApiError 429."""
        for account in accounts:
            refusal = account.refusal(prompt, output, now)
            if refusal is None and account.has_quota:
                unix = at.timestamp()
                refusal = account.over_quota(prompt + output, unix, self._today(unix))
            if refusal is not None:
                raise over_limit(account, refusal)
        for account in accounts:
            account.begin(prompt, output, now)
        return Grant(accounts, (prompt, output))

    def take(self, totals: Totals) -> None:
        """Takes the store's totals; a scope that is not in them has used nothing."""
        for scope, account in self._accounts.items():
            account.quota.take(totals.scopes.get(scope, Total(0, 0)), totals.at, totals.sequence)

    def recover(self, segment: int, records: Iterable[Record]) -> None:
        """Counts what an earlier process has logged in a segment that the totals do not hold yet."""
        for record in records:
            tokens = (record.prompt_tokens or 0) + (record.completion_tokens or 0)
            scopes = (f"key:{record.api_key_id}", *self._project.get(record.project, ()))
            for scope in scopes if tokens else ():
                account = self._accounts.get(scope)
                if account is not None:
                    account.quota.add(tokens, segment, record.started_at.timestamp())

    def _keep(self, before: dict[str, Account], scope: str, name: str, limits: LimitsEntry | None) -> None:
        if limits is None:
            return
        account = self._accounts[scope] = before.get(scope) or Account(name, limits)
        account.follow(limits)

    def _today(self, unix: float) -> Calendar:
        if int(unix) // _DAY != self._calendar.day:
            self._calendar = calendar_of(unix)
        return self._calendar


def calendar_of(unix: float) -> Calendar:
    """The day and month (UTC) of a time."""
    at = datetime.fromtimestamp(unix, UTC)
    day = int(unix) // _DAY
    first = day - (at.day - 1)
    length = calendar.monthrange(at.year, at.month)[1]
    return Calendar(day, first, (day + 1) * _DAY, (first + length) * _DAY)


def limit_headers(accounts: tuple[Account, ...], now: float) -> bytes:
    """`x-ratelimit-*` of the tightest scope, as OpenAI names them; empty without limits by the minute."""
    requests: Room | None = None
    tokens: Room | None = None
    for account in accounts:
        room = account.request_room(now)
        if room is not None and (requests is None or room < requests):
            requests = room
        room = account.token_room(now)
        if room is not None and (tokens is None or room < tokens):
            tokens = room
    text = "" if requests is None else _shown("requests", requests)
    if tokens is not None:
        text += _shown("tokens", tokens)
    return text.encode()


def _shown(what: str, room: Room) -> str:
    left, most, seconds = room
    limit = "x-ratelimit-limit-" + what + ": " + str(most)
    remaining = "\r\nx-ratelimit-remaining-" + what + ": " + str(left)
    return limit + remaining + "\r\nx-ratelimit-reset-" + what + ": " + str(seconds) + "s\r\n"
