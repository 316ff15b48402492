"""The accounts of all limited scopes: a request takes from its key, its project and its organization, or from none."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from aicp.core.route import KeyEntry, LimitsEntry, RouteTable, Total, Totals
from aicp.gateway.limits import Account, Room, over_limit
from aicp.gateway.record import Record
from aicp.gateway.scopes import Scopes, Today


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
                account.spend(counted, segment, record.started_at.timestamp())


class Accounts:
    """All accounts by scope (`key:<id>`, `project:<name>`, `organization:<name>`). They outlive route tables."""

    def __init__(self, make: Callable[[str, str, LimitsEntry], Account] | None = None) -> None:
        self._make = make
        """Makes one (scope, what a refusal calls it, limits), where limits hold over several processes."""
        self._accounts: dict[str, Account] = {}
        self._scopes = Scopes()
        self._today = Today()

    @property
    def has_quotas(self) -> bool:
        """Whether any scope has a limit by day or month, so that the store's totals are needed."""
        return any(account.has_quota for account in self._accounts.values())

    def swap(self, table: RouteTable) -> None:
        """Takes the limits of a new table; counts of scopes that are still limited go on."""
        before, self._accounts = self._accounts, {}
        self._scopes = Scopes(table)
        for scope, name, limits in self._scopes.all:
            self._keep(before, scope, name, limits)

    def of(self, key: KeyEntry) -> tuple[Account, ...]:
        """The accounts that a key takes from."""
        scopes = self._scopes.of(key.id, key.project)
        return tuple(self._accounts[scope] for scope in scopes if scope in self._accounts)

    def reserve(self, accounts: tuple[Account, ...], prompt: int, output: int, now: float, at: datetime) -> Grant:
        """Takes from all of `accounts` or from none. `now` is monotonic, `at` the time of day. Raises ApiError 429."""
        for account in accounts:
            refusal = account.refusal(prompt, output, now)
            if refusal is None and account.has_quota:
                unix = at.timestamp()
                refusal = account.over_quota(prompt + output, unix, self._today.at(unix))
            if refusal is not None:
                for other in accounts if refusal.wait is not None else ():
                    other.keep(refusal.limit if other is account else "")
                raise over_limit(account, refusal)
        for account in accounts:
            account.begin(prompt, output, now)
        return Grant(accounts, (prompt, output))

    def used(self, now: float, at: datetime) -> dict[str, dict[str, tuple[int, int]]]:
        """What counts against the limits of every scope that has used something; see `Account.used`."""
        unix = at.timestamp()
        today = self._today.at(unix)
        found = {scope: account.used(now, unix, today) for scope, account in self._accounts.items()}
        return {scope: used for scope, used in found.items() if any(map(any, used.values()))}

    def take(self, totals: Totals) -> None:
        """Takes the store's totals; a scope that is not in them has used nothing."""
        for scope, account in self._accounts.items():
            account.quota.take(totals.scopes.get(scope, Total(0, 0)), totals.at, totals.sequence)

    def recover(self, segment: int, records: Iterable[Record]) -> None:
        """Counts what an earlier process has logged in a segment that the totals do not hold yet."""
        for record in records:
            tokens = (record.prompt_tokens or 0) + (record.completion_tokens or 0)
            for scope in self._scopes.of(record.api_key_id, record.project) if tokens else ():
                account = self._accounts.get(scope)
                if account is not None:
                    account.quota.add(tokens, segment, record.started_at.timestamp())

    def _keep(self, before: dict[str, Account], scope: str, name: str, limits: LimitsEntry | None) -> None:
        if limits is None:
            return
        account = before.get(scope)
        if account is None:
            account = Account(name, limits) if self._make is None else self._make(scope, name, limits)
        self._accounts[scope] = account
        account.follow(limits)


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
    shown = b"" if requests is None else _shown(b"requests", requests)
    return shown if tokens is None else shown + _shown(b"tokens", tokens)


def _shown(what: bytes, room: Room) -> bytes:
    left, most, seconds = room
    # the text stands where it is filled in: one with a name would not be compiled
    return b"x-ratelimit-limit-%b: %d\r\nx-ratelimit-remaining-%b: %d\r\nx-ratelimit-reset-%b: %ds\r\n" % (
        what,
        most,
        what,
        left,
        what,
        seconds,
    )
