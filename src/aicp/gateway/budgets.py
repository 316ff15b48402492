"""What keys, projects and organizations have spent, and what they may: days and months (UTC) in money.

Money is reserved when a request begins, by the estimate of its tokens, and replaced by what it has cost when it ends,
so that requests at the same time cannot overspend together. As with tokens, the store's totals and the own log since
then are what was spent. A model without a price costs nothing and is served whatever was spent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from aicp.core.money import money_text
from aicp.core.route import KeyEntry, LimitsEntry, PriceEntry, RouteTable, Total, Totals
from aicp.gateway.errors import ApiError
from aicp.gateway.limits import Calendar, Quota
from aicp.gateway.prices import cost_of
from aicp.gateway.record import Record
from aicp.gateway.scopes import Scopes, Today
from aicp.gateway.shortage import Shortage

_SENTENCES = {
    "day": "{who} may spend {most} a day (UTC) and has spent {spent}; this request could go beyond.",
    "month": "{who} may spend {most} a month (UTC) and has spent {spent}; this request could go beyond.",
}


@dataclass(frozen=True, slots=True)
class Overdraft:
    """Why a request is over a budget: which, how much of it is spent, and when (Unix seconds) it begins anew.

    `wait` where other processes may give back what they hold of it.
    """

    period: str
    most: int
    spent: int
    ends: int
    wait: Callable[[], Awaitable[None]] | None = None


class Purse:
    """The money of one scope, in millionths. It outlives route tables."""

    __slots__ = ("_budgets", "_pending", "_quota", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        """What a refusal calls it: key, project or organization."""
        self._budgets: tuple[tuple[str, int], ...] = ()
        self._pending = 0
        self._quota = Quota()

    def follow(self, limits: LimitsEntry) -> None:
        """Takes budgets that have changed."""
        budgets = (("day", limits.budget_per_day), ("month", limits.budget_per_month))
        self._budgets = tuple((period, most) for period, most in budgets if most is not None)

    def overdraft(self, wanted: int, unix: float, calendar: Calendar) -> Overdraft | None:
        """Why a request that may cost `wanted` must not begin; None when it may.

        One that may cost more than a whole budget may begin when nothing else counts against that.
        """
        day, month = self._quota.used(unix, calendar.first_of_month)
        for period, most in self._budgets:
            spent, ends = (day, calendar.next_day) if period == "day" else (month, calendar.next_month)
            if spent + self._pending + min(wanted, most) > most:
                return Overdraft(period, most, spent, ends)
        return None

    def used(self, unix: float, calendar: Calendar) -> dict[str, tuple[int, int]]:
        """What counts against each budget, as `Quota.parts`; what is reserved is in it."""
        day, month = self._quota.parts(unix, calendar.first_of_month)
        parts = {"day": day, "month": month}
        return {f"budget_per_{name}": (parts[name][0], parts[name][1] + self._pending) for name, _ in self._budgets}

    def begin(self, wanted: int) -> None:
        """Reserves."""
        self._pending += wanted

    def leave(self, reserved: int) -> None:
        """Ends a reservation of which nothing was spent."""
        self._pending -= reserved

    def end(self, reserved: int, spent: int, segment: int, at: float) -> None:
        """Replaces a reservation by what was spent by a request that began at `at` and is written in `segment`."""
        self._pending -= reserved
        if spent:
            self.spend(spent, segment, at)

    def spend(self, spent: int, segment: int, at: float) -> None:
        """Counts what was spent."""
        self._quota.add(spent, segment, at)

    def take(self, total: Total, at: float, sequence: int) -> None:
        """Takes the store's total, which holds all segments up to `sequence`."""
        self._quota.take(total, at, sequence)


class Purchase:
    """What one request has reserved; closed once."""

    __slots__ = ("_purses", "_reserved")

    def __init__(self, purses: tuple[Purse, ...], reserved: int) -> None:
        self._purses, self._reserved = purses, reserved

    def give_back(self) -> None:
        """Ends the reservation of a request that is done in another way."""
        for purse in self._purses:
            purse.leave(self._reserved)

    def take_back(self) -> None:
        """Reserves the same again, whatever else was reserved meanwhile."""
        for purse in self._purses:
            purse.begin(self._reserved)

    def close(self, record: Record, segment: int) -> None:
        """Replaces the reservation by the cost in `record`, which is written in `segment` of the log."""
        began = record.started_at.timestamp()
        for purse in self._purses:
            purse.end(self._reserved, record.cost_micros or 0, segment, began)


class Budgets:
    """All purses by scope (`key:<id>`, `project:<name>`, `organization:<name>`). They outlive route tables."""

    def __init__(self, make: Callable[[str, str], Purse] | None = None) -> None:
        self._make = make
        """Makes the purse of a scope and what a refusal calls it, where budgets hold over several processes."""
        self._purses: dict[str, Purse] = {}
        self._scopes = Scopes()
        self._currency = ""
        self._today = Today()

    @property
    def has_quotas(self) -> bool:
        """Whether any scope has a budget, so that the store's totals are needed."""
        return bool(self._purses)

    def swap(self, table: RouteTable) -> None:
        """Takes the budgets of a new table; what scopes with a budget have spent goes on."""
        before, self._purses = self._purses, {}
        self._currency = table.currency
        self._scopes = Scopes(table)
        for scope, name, limits in self._scopes.all:
            self._keep(before, scope, name, limits)

    def of(self, key: KeyEntry) -> tuple[Purse, ...]:
        """The purses that a key's requests are paid from."""
        return tuple(self._found(key.id, key.project))

    def buy(
        self, purses: tuple[Purse, ...], price: PriceEntry | None, tokens: tuple[int, int], at: datetime
    ) -> Purchase | None:
        """`reserve` for tokens of input and output; None where nothing is paid. Raises ApiError 429."""
        return self.reserve(purses, price, *tokens, at) if purses and price is not None else None

    def reserve(self, purses: tuple[Purse, ...], price: PriceEntry, prompt: int, output: int, at: datetime) -> Purchase:
        """Takes from all of `purses` or from none what so many tokens may cost. Raises ApiError 429."""
        wanted, unix = _most_of(price, prompt, output), at.timestamp()
        for purse in purses if wanted else ():
            overdraft = purse.overdraft(wanted, unix, self._today.at(unix))
            if overdraft is not None:
                raise _over_budget(purse, overdraft, self._currency, unix)
        for purse in purses:
            purse.begin(wanted)
        return Purchase(purses, wanted)

    def used(self, at: datetime) -> dict[str, dict[str, tuple[int, int]]]:
        """What counts against the budgets of every scope that has spent something; see `Purse.used`."""
        unix = at.timestamp()
        today = self._today.at(unix)
        found = {scope: purse.used(unix, today) for scope, purse in self._purses.items()}
        return {scope: used for scope, used in found.items() if any(map(any, used.values()))}

    def take(self, totals: Totals) -> None:
        """Takes the store's totals; a scope that is not in them has spent nothing."""
        for scope, purse in self._purses.items():
            purse.take(totals.spent.get(scope, Total(0, 0)), totals.at, totals.sequence)

    def recover(self, segment: int, records: Iterable[Record]) -> None:
        """Counts what an earlier process has logged in a segment that the totals do not hold yet."""
        for record in records:
            for purse in self._found(record.api_key_id, record.project) if record.cost_micros else ():
                purse.spend(record.cost_micros or 0, segment, record.started_at.timestamp())

    def _found(self, key: str, project: str) -> Iterable[Purse]:
        return (self._purses[scope] for scope in self._scopes.of(key, project) if scope in self._purses)

    def _keep(self, before: dict[str, Purse], scope: str, name: str, limits: LimitsEntry | None) -> None:
        if limits is None or (limits.budget_per_day is None and limits.budget_per_month is None):
            return
        purse = before.get(scope)
        if purse is None:
            purse = Purse(name) if self._make is None else self._make(scope, name)
        self._purses[scope] = purse
        purse.follow(limits)


def _most_of(price: PriceEntry, prompt: int, output: int) -> int:
    """What a request may cost. Of a model that costs anything at least a millionth, so that spent is spent."""
    free = not (price.input or price.cached_input or price.output)
    return 0 if free else max(cost_of(price, prompt, 0, output), 1)


def _over_budget(purse: Purse, overdraft: Overdraft, currency: str, unix: float) -> ApiError:
    """429: whose budget, how much of it is spent, when it begins anew."""
    most, spent = money_text(overdraft.most, currency), money_text(overdraft.spent, currency)
    sentence = _SENTENCES[overdraft.period].format(who=purse.name, most=most, spent=spent)
    anew = datetime.fromtimestamp(overdraft.ends, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    seconds = max(int(overdraft.ends - unix) + 1, 1)
    message = f"{sentence} The budget begins anew at {anew}, in {seconds} s."
    error = ApiError(429, message, code="insufficient_quota", retry_after=seconds)
    return error if overdraft.wait is None else Shortage(error, overdraft.wait)
