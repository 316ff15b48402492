"""What one scope (a key, a project, an organization) has consumed, and what it may.

Minutes are sliding windows that never let more through than the limit says, whatever minute one looks at: a token
bucket would let twice as much through at a moment. Tokens are reserved when a request begins and replaced by what it
really used when it ends, so that requests at the same time cannot overshoot together.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from aicp.core.route import LimitsEntry, Total
from aicp.gateway.errors import ApiError
from aicp.gateway.shortage import Shortage

_MINUTE: Final = 60
_SLOTS: Final = _MINUTE + 1
_DAY: Final = 86_400


class Window:
    """A sum over the last minute, in steps of a second; all times are monotonic seconds.

    It looks back one second further than a minute, so that no minute, wherever it begins, holds more than a limit.
    """

    __slots__ = ("_amounts", "_latest", "_newest", "_sum")

    def __init__(self) -> None:
        self._amounts = [0] * _SLOTS
        self._latest = self._newest = 0
        self._sum = 0

    def add(self, amount: int, now: float) -> None:
        """Counts `amount` at `now`."""
        second = int(now)
        if second > self._latest:
            self._move(second)
        self._newest = self._latest
        self._amounts[self._latest % _SLOTS] += amount
        self._sum += amount

    def used(self, now: float) -> int:
        """The sum at `now`."""
        second = int(now)
        if second > self._latest:
            self._move(second)
        return self._sum

    def seconds_until(self, amount: int, now: float) -> int:
        """After how many seconds `amount` of the sum has gone by, at least 1."""
        self.used(now)
        gone = 0
        for age in range(_MINUTE, -1, -1):
            gone += self._amounts[(self._latest - age) % _SLOTS]
            if gone >= amount:
                return max(_SLOTS - age, 1)
        return _SLOTS

    def seconds_until_empty(self, now: float) -> int:
        """After how many seconds all of it has gone by."""
        return self._newest + _SLOTS - self._latest if self.used(now) else 0

    def _move(self, second: int) -> None:
        for passed in range(self._latest + 1, min(second, self._latest + _SLOTS) + 1):
            place = passed % _SLOTS
            self._sum -= self._amounts[place]
            self._amounts[place] = 0
        self._latest = second


@dataclass(slots=True)
class Refusal:
    """Why a request is over a limit: which, how much of it, and the seconds until there is room.

    `wait` where that may change at any moment, because other processes may give back what they hold.
    """

    limit: str
    most: int
    seconds: int
    quota: bool = False
    wait: Callable[[], Awaitable[None]] | None = None


Room = tuple[int, int, int]
"""What is left of a limit by the minute, the limit, and the seconds until all of it is there again."""


class Quota:
    """Tokens of the present day and month (UTC): the store's total, and what was used here since it was counted."""

    __slots__ = ("_day", "_own", "_sums", "_total")

    def __init__(self) -> None:
        self._total = Total(0, 0)
        self._day = 0
        self._own: dict[int, dict[int, int]] = {}
        """Tokens by segment of the usage log, and in it by day since 1970."""
        self._sums: dict[int, int] = {}

    def add(self, tokens: int, segment: int, at: float) -> None:
        """Counts tokens of a request that began at `at` (Unix seconds) and is written in `segment`."""
        day = int(at) // _DAY
        days = self._own.setdefault(segment, {})
        days[day] = days.get(day, 0) + tokens
        self._sums[day] = self._sums.get(day, 0) + tokens

    def take(self, total: Total, at: float, sequence: int) -> None:
        """Takes the store's total, which holds all segments up to `sequence`."""
        self._total, self._day = total, int(at) // _DAY
        self._own = {segment: days for segment, days in self._own.items() if segment > sequence}
        self._sums = {}
        for days in self._own.values():
            for day, tokens in days.items():
                self._sums[day] = self._sums.get(day, 0) + tokens

    def used(self, now: float, first_of_month: int) -> tuple[int, int]:
        """Tokens of the day of `now` (Unix seconds) and of the month whose first day is `first_of_month`."""
        day, month = self.parts(now, first_of_month)
        return day[0] + day[1], month[0] + month[1]

    def parts(self, now: float, first_of_month: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """The same, each as what the store has counted and what came on top here."""
        today = int(now) // _DAY
        counted_day = self._total.day if self._day == today else 0
        counted_month = self._total.month if self._day >= first_of_month else 0
        month = sum(tokens for day, tokens in self._sums.items() if day >= first_of_month)
        return (counted_day, self._sums.get(today, 0)), (counted_month, month)


class _Minute:
    """A limit on tokens by the minute: what has gone through, and how much of a pair (input, output) counts."""

    __slots__ = ("input", "most", "name", "output", "window")

    def __init__(self, name: str, most: int, window: Window) -> None:
        self.name, self.most, self.window = name, most, window
        self.input, self.output = name != "output_tpm", name != "input_tpm"

    def of(self, prompt: int, output: int) -> int:
        """What counts."""
        return (prompt if self.input else 0) + (output if self.output else 0)


class Account:
    """The counts of one scope. They outlive route tables. Only what is limited is counted."""

    __slots__ = ("_concurrency", "_minutes", "_pending", "_quotas", "_requests", "_rpm", "_running", "name", "quota")

    def __init__(self, name: str, limits: LimitsEntry) -> None:
        self.name = name
        """What a refusal calls it: key, project or organization."""
        self._requests = Window()
        self._minutes: tuple[_Minute, ...] = ()
        self._pending = (0, 0)
        self._running = 0
        self.quota = Quota()
        self.follow(limits)

    @property
    def has_quota(self) -> bool:
        """Whether days or months are limited."""
        return bool(self._quotas)

    def follow(self, limits: LimitsEntry) -> None:
        """Takes limits that have changed; what is limited anew is counted from now on."""
        windows = {minute.name: minute.window for minute in self._minutes}
        self._rpm, self._concurrency = limits.rpm, limits.concurrency
        wanted = (("tpm", limits.tpm), ("input_tpm", limits.input_tpm), ("output_tpm", limits.output_tpm))
        self._minutes = tuple(
            _Minute(name, most, windows.get(name) or Window()) for name, most in wanted if most is not None
        )
        days = (("tokens_per_day", limits.tokens_per_day), ("tokens_per_month", limits.tokens_per_month))
        self._quotas = tuple((name, most) for name, most in days if most is not None)

    def begin(self, prompt: int, output: int, now: float) -> None:
        """Reserves."""
        if self._rpm is not None:
            self._requests.add(1, now)
        self._enter(prompt, output)

    def end(self, reserved: tuple[int, int], used: tuple[int, int], now: float) -> None:
        """Replaces a reservation (input, output) by what was used."""
        self._leave(reserved)
        prompt, output = used
        for minute in self._minutes:
            minute.window.add(minute.of(prompt, output), now)

    def _enter(self, prompt: int, output: int) -> None:
        given, made = self._pending
        self._pending = (given + prompt, made + output)
        self._running += 1

    def _leave(self, reserved: tuple[int, int]) -> None:
        given, made = self._pending
        self._pending = (given - reserved[0], made - reserved[1])
        self._running -= 1

    def spend(self, tokens: int, segment: int, at: float) -> None:
        """Counts tokens of the day and month, see Quota."""
        self.quota.add(tokens, segment, at)

    def refusal(self, prompt: int, output: int, now: float) -> Refusal | None:
        """Why a request of so many tokens must not begin at `now` (monotonic); None when it may.

        A request that is larger than a whole limit may begin when nothing else counts against it.
        """
        if self._concurrency is not None and self._running >= self._concurrency:
            return Refusal("concurrency", self._concurrency, 1)
        if self._rpm is not None and self._requests.used(now) >= self._rpm:
            return Refusal("rpm", self._rpm, self._requests.seconds_until(1, now))
        given, made = self._pending
        for minute in self._minutes:
            used = minute.window.used(now) + minute.of(given, made)
            over = used + min(minute.of(prompt, output), minute.most) - minute.most
            if over > 0:
                # what is still reserved goes by a minute after its end
                return Refusal(minute.name, minute.most, minute.window.seconds_until(over, now))
        return None

    def keep(self, short: str) -> None:
        """A request that would take from it waits for its limit `short`, or for one of another account."""

    def over_quota(self, wanted: int, unix: float, calendar: Calendar) -> Refusal | None:
        """The same for days and months; `unix` is the time of day."""
        if not self._quotas:
            return None
        day, month = self.quota.used(unix, calendar.first_of_month)
        reserved = sum(self._pending)
        for name, most in self._quotas:
            used, ends = (day, calendar.next_day) if name == "tokens_per_day" else (month, calendar.next_month)
            if used + reserved + min(wanted, most) > most:
                return Refusal(name, most, max(int(ends - unix) + 1, 1), quota=True)
        return None

    def used(self, now: float, unix: float, calendar: Calendar) -> dict[str, tuple[int, int]]:
        """What counts against each limit, as `Quota.parts`; what is reserved is in it."""
        found: dict[str, tuple[int, int]] = {}
        if self._concurrency is not None:
            found["concurrency"] = (0, self._running)
        if self._rpm is not None:
            found["rpm"] = (0, self._requests.used(now))
        for minute in self._minutes:
            found[minute.name] = (0, minute.window.used(now) + minute.of(*self._pending))
        if self._quotas:
            day, month = self.quota.parts(unix, calendar.first_of_month)
            for name, _ in self._quotas:
                shared, own = day if name == "tokens_per_day" else month
                found[name] = (shared, own + sum(self._pending))
        return found

    def request_room(self, now: float) -> Room | None:
        """What is left of the requests per minute."""
        most = self._rpm
        if most is None:
            return None
        return max(most - self._requests.used(now), 0), most, self._requests.seconds_until_empty(now)

    def token_room(self, now: float) -> Room | None:
        """What is left of the tightest limit on tokens per minute."""
        tightest: Room | None = None
        given, made = self._pending
        for minute in self._minutes:
            reserved = minute.of(given, made)
            left = max(minute.most - minute.window.used(now) - reserved, 0)
            if tightest is None or left < tightest[0]:
                # what is reserved is there for a minute at least
                seconds = _SLOTS if reserved else minute.window.seconds_until_empty(now)
                tightest = (left, minute.most, seconds)
        return tightest


@dataclass(frozen=True, slots=True)
class Calendar:
    """The present day: its month's first day (days since 1970), and when day and month end (Unix seconds)."""

    day: int
    first_of_month: int
    next_day: int
    next_month: int


_SENTENCES: Final = {
    "concurrency": "{who} may have {most} requests at the same time, and they are under way.",
    "rpm": "{who} may send {most} requests a minute, and has.",
    "tpm": "{who} may use {most} tokens a minute, and this request would go beyond.",
    "input_tpm": "{who} may send {most} input tokens a minute, and this request would go beyond.",
    "output_tpm": "{who} may get {most} output tokens a minute, and this request may go beyond.",
    "tokens_per_day": "{who} may use {most} tokens a day (UTC), and this request would go beyond.",
    "tokens_per_month": "{who} may use {most} tokens a month (UTC), and this request would go beyond.",
}


def over_limit(account: Account, refusal: Refusal) -> ApiError:
    """429: what was reached, whose it is, when to come again."""
    sentence = _SENTENCES[refusal.limit].format(who=account.name, most=refusal.most)
    code = "insufficient_quota" if refusal.quota else "rate_limit_exceeded"
    error = ApiError(429, f"{sentence} Try again in {refusal.seconds} s.", code=code, retry_after=refusal.seconds)
    return error if refusal.wait is None else Shortage(error, refusal.wait)
