"""What one scope (a key, a project, an organization) has consumed, and what it may.

Minutes are sliding windows that never let more through than the limit says, whatever minute one looks at: a token
bucket would let twice as much through at a moment. Tokens are reserved when a request begins and replaced by what it
really used when it ends, so that requests at the same time cannot overshoot together.
"""

from __future__ import annotations

from dataclasses import dataclass

from aicp.core.route import LimitsEntry, Total
from aicp.gateway.errors import ApiError

_MINUTE = 60
_DAY = 86_400


class Window:
    """A sum over the last minute, in steps of a second; all times are monotonic seconds.

    It looks back one second further than a minute, so that no minute, wherever it begins, holds more than a limit.
    """

    __slots__ = ("_amounts", "_latest", "_sum")

    def __init__(self) -> None:
        self._amounts = [0] * (_MINUTE + 1)
        self._latest = 0
        self._sum = 0

    def add(self, amount: int, now: float) -> None:
        """Counts `amount` at `now`."""
        self._move(int(now))
        self._amounts[self._latest % (_MINUTE + 1)] += amount
        self._sum += amount

    def used(self, now: float) -> int:
        """The sum at `now`."""
        self._move(int(now))
        return self._sum

    def seconds_until(self, amount: int, now: float) -> int:
        """After how many seconds `amount` of the sum has gone by, at least 1."""
        self._move(int(now))
        gone = 0
        for age in range(_MINUTE, -1, -1):
            gone += self._amounts[(self._latest - age) % (_MINUTE + 1)]
            if gone >= amount:
                return max(_MINUTE + 1 - age, 1)
        return _MINUTE + 1

    def _move(self, second: int) -> None:
        for passed in range(self._latest + 1, min(second, self._latest + _MINUTE + 1) + 1):
            place = passed % (_MINUTE + 1)
            self._sum -= self._amounts[place]
            self._amounts[place] = 0
        self._latest = max(self._latest, second)


@dataclass(slots=True)
class Refusal:
    """Why a request is over a limit: which, how much of it, and the seconds until there is room."""

    limit: str
    most: int
    seconds: int
    quota: bool = False


@dataclass(slots=True)
class Room:
    """What is left of one limit by the minute: for the `x-ratelimit-*` headers."""

    most: int
    left: int
    seconds: int


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
        today = int(now) // _DAY
        counted_day = self._total.day if self._day == today else 0
        counted_month = self._total.month if self._day >= first_of_month else 0
        month = sum(tokens for day, tokens in self._sums.items() if day >= first_of_month)
        return counted_day + self._sums.get(today, 0), counted_month + month


class Account:
    """The counts of one scope. They outlive route tables; `limits` follow them."""

    __slots__ = (
        "input",
        "limits",
        "name",
        "output",
        "pending_input",
        "pending_output",
        "quota",
        "requests",
        "running",
        "tokens",
    )

    def __init__(self, name: str, limits: LimitsEntry) -> None:
        self.name = name
        """What a refusal calls it: key, project or organization."""
        self.limits = limits
        self.requests, self.tokens, self.input, self.output = Window(), Window(), Window(), Window()
        self.pending_input = self.pending_output = self.running = 0
        self.quota = Quota()

    def begin(self, prompt: int, output: int, now: float) -> None:
        """Reserves."""
        self.requests.add(1, now)
        self.pending_input += prompt
        self.pending_output += output
        self.running += 1

    def end(self, reserved: tuple[int, int], used: tuple[int, int], now: float) -> None:
        """Replaces a reservation (input, output) by what was used."""
        self.pending_input -= reserved[0]
        self.pending_output -= reserved[1]
        self.running -= 1
        self.tokens.add(used[0] + used[1], now)
        self.input.add(used[0], now)
        self.output.add(used[1], now)

    def refusal(self, prompt: int, output: int, now: float) -> Refusal | None:
        """Why a request of so many tokens must not begin at `now` (monotonic); None when it may.

        A request that is larger than a whole limit may begin when nothing else counts against it.
        """
        limits = self.limits
        if limits.concurrency is not None and self.running >= limits.concurrency:
            return Refusal("concurrency", limits.concurrency, 1)
        if limits.rpm is not None and self.requests.used(now) >= limits.rpm:
            return Refusal("rpm", limits.rpm, self.requests.seconds_until(1, now))
        for name, most, used, wanted in self._minutes(prompt, output, now):
            over = used + min(wanted, most) - most
            if over > 0:
                return Refusal(name, most, self._wait(name, over, now))
        return None

    def over_quota(self, wanted: int, unix: float, calendar: Calendar) -> Refusal | None:
        """The same for days and months; `unix` is the time of day."""
        limits = self.limits
        if limits.tokens_per_day is None and limits.tokens_per_month is None:
            return None
        day, month = self.quota.used(unix, calendar.first_of_month)
        reserved = self.pending_input + self.pending_output
        for name, most, used, ends in (
            ("tokens_per_day", limits.tokens_per_day, day, calendar.next_day),
            ("tokens_per_month", limits.tokens_per_month, month, calendar.next_month),
        ):
            if most is not None and used + reserved + min(wanted, most) > most:
                return Refusal(name, most, max(int(ends - unix) + 1, 1), quota=True)
        return None

    def request_room(self, now: float) -> Room | None:
        """What is left of the requests per minute."""
        most = self.limits.rpm
        if most is None:
            return None
        used = self.requests.used(now)
        return Room(most, max(most - used, 0), self.requests.seconds_until(used, now) if used else 0)

    def token_room(self, now: float) -> Room | None:
        """What is left of the tightest limit on tokens per minute."""
        rooms = [
            Room(most, max(most - used, 0), self._wait(name, used, now) if used else 0)
            for name, most, used, _ in self._minutes(0, 0, now)
        ]
        return min(rooms, key=lambda room: room.left, default=None)

    def _minutes(self, prompt: int, output: int, now: float) -> list[tuple[str, int, int, int]]:
        """Name, limit, use and wish of every limit on tokens per minute that is set."""
        limits = self.limits
        if limits.tpm is None and limits.input_tpm is None and limits.output_tpm is None:
            return []
        given, made = self.pending_input, self.pending_output
        rows = (
            ("tpm", limits.tpm, self.tokens.used(now) + given + made, prompt + output),
            ("input_tpm", limits.input_tpm, self.input.used(now) + given, prompt),
            ("output_tpm", limits.output_tpm, self.output.used(now) + made, output),
        )
        return [(name, most, used, wanted) for name, most, used, wanted in rows if most is not None]

    def _wait(self, name: str, amount: int, now: float) -> int:
        """Seconds until so many tokens have gone by; what is still reserved goes by a minute after its end."""
        window = {"tpm": self.tokens, "input_tpm": self.input, "output_tpm": self.output}[name]
        return window.seconds_until(amount, now)


@dataclass(frozen=True, slots=True)
class Calendar:
    """The present day: its month's first day (days since 1970), and when day and month end (Unix seconds)."""

    day: int
    first_of_month: int
    next_day: int
    next_month: int


_SENTENCES = {
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
    return ApiError(429, f"{sentence} Try again in {refusal.seconds} s.", code=code, retry_after=refusal.seconds)
