"""How many replicas a service may have, and what makes it more or fewer."""

from __future__ import annotations

from datetime import time
from enum import StrEnum
from typing import Self, TypeVar
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, Field, field_validator, model_validator

from aicp.core.value import Request, Value

_WORDS = ("DAYS", "START-END", "ZONE", "MIN-MAX")
B = TypeVar("B", bound="ScaleWindow | Autoscale")


class Weekday(StrEnum):
    """Days as a window names them."""

    MONDAY = "mon"
    TUESDAY = "tue"
    WEDNESDAY = "wed"
    THURSDAY = "thu"
    FRIDAY = "fri"
    SATURDAY = "sat"
    SUNDAY = "sun"


class ScaleWindow(Request):
    """Other bounds at some hours. A window that ends at or before its start goes on into the next day.

    As text: `mon-fri 08:00-18:00 Asia/Taipei 2-8`, the days also as `sat,sun` or `daily`, UTC where no zone is named.
    """

    days: list[Weekday] = Field(default=list(Weekday), min_length=1, description="days on which it begins")
    start: time = Field(description="local time, e.g. 08:00")
    end: time = Field(description="local time; the same as `start`: a whole day")
    time_zone: str = Field(default="UTC", max_length=64, description="IANA name, e.g. Asia/Taipei")
    min_replicas: int = Field(ge=0, le=1000)
    max_replicas: int = Field(ge=1, le=1000)

    @classmethod
    def parse(cls, text: str) -> Self:
        """A window from its text. Raises ValueError."""
        words = text.split()
        if len(words) == len(_WORDS) - 1:
            words.insert(2, "UTC")
        if len(words) != len(_WORDS):
            raise ValueError(f"{text!r} is no window; write it as {' '.join(_WORDS)}, e.g. mon-fri 08:00-18:00 UTC 2-8")
        days, hours, zone, bounds = words
        (start, _, end), (least, _, most) = hours.partition("-"), bounds.partition("-")
        values = {"days": _days(days), "start": start, "end": end, "time_zone": zone}
        return cls.model_validate({**values, "min_replicas": least, "max_replicas": most})

    def __str__(self) -> str:
        days = "daily" if set(self.days) == set(Weekday) else ",".join(self.days)
        hours = f"{self.start:%H:%M}-{self.end:%H:%M}"
        return f"{days} {hours} {self.time_zone} {self.min_replicas}-{self.max_replicas}"

    @field_validator("start", "end")
    @classmethod
    def _plain(cls, value: time) -> time:
        if value.tzinfo is not None:
            raise ValueError("a time without a zone is wanted; `time_zone` says which zone it is of")
        return value

    @field_validator("time_zone")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(
                f"{value!r} is no time zone of the IANA database; use a name such as UTC or Asia/Taipei"
            ) from error
        return value

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        return _in_order(self)


class Autoscale(Request):
    """Replicas follow load between two bounds. Where no target is given, a queue of one request a replica is one, and
    as many running requests as a replica is planned for."""

    min_replicas: int = Field(default=1, ge=0, le=1000, description="0: it sleeps when nobody uses it")
    max_replicas: int = Field(ge=1, le=1000)
    queued_per_replica: float | None = Field(default=None, gt=0, le=100_000, description="target: requests that wait")
    running_per_replica: float | None = Field(default=None, gt=0, le=100_000, description="target: requests under way")
    kv_percent: float | None = Field(default=None, gt=0, le=100, description="target: use of the engines' KV caches")
    ttft_ms: float | None = Field(default=None, gt=0, le=3_600_000, description="target: time to first token, p99")
    idle_seconds: float = Field(default=300, ge=5, le=604_800, description="without a request, before the last goes")
    up_seconds: float = Field(default=0, ge=0, le=3600, description="more are made when that was wanted for so long")
    down_seconds: float = Field(default=300, ge=0, le=86_400, description="some go when that was wanted for so long")
    max_wait_seconds: float = Field(default=120, ge=0, le=3600, description="a request waits so long for a sleeper")
    windows: list[ScaleWindow] = Field(default=[], max_length=32)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        return _in_order(self)

    @property
    def may_sleep(self) -> bool:
        """Whether there are times without any replica."""
        return self.min_replicas == 0 or any(window.min_replicas == 0 for window in self.windows)

    def first(self, replicas: int) -> int:
        """How many a service begins with that asks for `replicas`."""
        return min(max(replicas, self.min_replicas), self.max_replicas)


class ScaleStatus(Value):
    """What autoscaling wants now, and why."""

    wanted: int
    min_replicas: int = Field(description="at this time, see `windows`")
    max_replicas: int
    reason: str
    changed_at: AwareDatetime
    wake_seconds: float | None = Field(default=None, description="longest of the last times it took to wake")


def _days(text: str) -> list[Weekday]:
    """Days of `mon-fri`, `sat,sun` or `daily`. Raises ValueError."""
    order = list(Weekday)
    if text == "daily":
        return order
    found: list[Weekday] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        begin, end = order.index(Weekday(first)), order.index(Weekday(last or first))
        found += order[begin : end + 1] if begin <= end else [*order[begin:], *order[: end + 1]]
    return list(dict.fromkeys(found))


def _in_order(bounds: B) -> B:
    if bounds.min_replicas > bounds.max_replicas:
        raise ValueError(f"min_replicas ({bounds.min_replicas}) must not be above max_replicas ({bounds.max_replicas})")
    return bounds
