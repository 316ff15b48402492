"""Windows, accounts and quotas: never more than the limit, nothing counted twice, everything given back."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aicp.core.route import KeyEntry, LimitsEntry, RouteTable, ScopeEntry, Total, Totals
from aicp.gateway.accounts import Accounts, Grant, limit_headers
from aicp.gateway.errors import ApiError
from aicp.gateway.limits import Quota, Window
from aicp.gateway.record import Record
from aicp.gateway.scopes import Today

AT = datetime(2026, 3, 31, 23, 59, 0, tzinfo=UTC)
MOMENTS = st.lists(st.floats(0, 300, allow_nan=False), max_size=200).map(sorted)


def accounts_of(
    key: LimitsEntry | None, project: LimitsEntry | None = None, organization: LimitsEntry | None = None
) -> tuple[Accounts, KeyEntry]:
    entry = KeyEntry("k", "digest", "p", limits=key)
    accounts = Accounts()
    accounts.swap(table(entry, project, organization))
    return accounts, entry


def table(entry: KeyEntry, project: LimitsEntry | None, organization: LimitsEntry | None) -> RouteTable:
    return RouteTable(
        "1",
        "",
        [entry],
        [],
        projects=[ScopeEntry("p", project, "o")],
        organizations=[ScopeEntry("o", organization)],
    )


def ended(grant: Grant, prompt: int | None, output: int | None, now: float, *, at: datetime = AT, segment: int = 1):
    record = Record("r", "k", "p", "s", "/v1/x", False, at, "rep", status=200, outcome="ok")
    record.prompt_tokens, record.completion_tokens = prompt, output
    grant.close(record, now, segment)


def refused(accounts: Accounts, entry: KeyEntry, prompt: int, output: int, now: float, at: datetime = AT) -> ApiError:
    with pytest.raises(ApiError) as caught:
        accounts.reserve(accounts.of(entry), prompt, output, now, at)
    assert caught.value.status == 429
    assert caught.value.retry_after is not None
    return caught.value


@given(MOMENTS, st.integers(1, 20))
def test_no_minute_holds_more_than_the_limit(moments: list[float], most: int) -> None:
    window, let = Window(), list[float]()
    for now in moments:
        if window.used(now) < most:
            window.add(1, now)
            let.append(now)
    assert all(sum(start <= one < start + 60 for one in let) <= most for start in let)


@given(MOMENTS)
def test_a_window_forgets_after_a_minute(moments: list[float]) -> None:
    window = Window()
    for index, now in enumerate(moments):
        window.add(index + 1, now)
    last = moments[-1] if moments else 0.0
    least = sum(index + 1 for index, now in enumerate(moments) if now > last - 60)
    most = sum(index + 1 for index, now in enumerate(moments) if now > last - 61.0001)
    assert least <= window.used(last) <= most
    assert window.used(last + 62) == 0


@given(MOMENTS.filter(bool), st.integers(1, 50))
def test_there_is_room_after_the_seconds_that_were_told(moments: list[float], amount: int) -> None:
    window = Window()
    for now in moments:
        window.add(1, now)
    used, now = window.used(moments[-1]), moments[-1]
    seconds = window.seconds_until(min(amount, used), now)
    assert 1 <= seconds <= 61
    assert used - window.used(now + seconds) >= min(amount, used)


def test_the_strictest_of_key_project_and_organization_holds_and_takes_from_all_or_none() -> None:
    accounts, entry = accounts_of(LimitsEntry(rpm=5), LimitsEntry(rpm=3), LimitsEntry(rpm=2))
    for _ in range(2):
        accounts.reserve(accounts.of(entry), 1, 1, 0.0, AT)
    error = refused(accounts, entry, 1, 1, 1.0)
    assert "The organization 'o' may send 2 requests a minute" in error.message
    assert error.code == "rate_limit_exceeded"
    key, project, organization = accounts.of(entry)
    rooms = [one.request_room(1.0) for one in (key, project, organization)]
    assert [room and room[0] for room in rooms] == [3, 1, 0]
    accounts.reserve(accounts.of(entry), 1, 1, 62.0, AT)


def test_reserved_tokens_count_until_the_real_ones_are_known() -> None:
    accounts, entry = accounts_of(LimitsEntry(tpm=100))
    first = accounts.reserve(accounts.of(entry), 40, 40, 0.0, AT)
    refused(accounts, entry, 10, 11, 0.0)
    ended(first, 5, 5, 1.0)
    accounts.reserve(accounts.of(entry), 45, 45, 1.0, AT)
    refused(accounts, entry, 1, 0, 1.0)


def test_input_and_output_have_limits_of_their_own() -> None:
    accounts, entry = accounts_of(LimitsEntry(input_tpm=50, output_tpm=10))
    ended(accounts.reserve(accounts.of(entry), 10, 10, 0.0, AT), 10, 10, 0.0)
    assert "output tokens" in refused(accounts, entry, 1, 1, 0.0).message
    accounts.reserve(accounts.of(entry), 40, 0, 0.0, AT)
    assert "input tokens" in refused(accounts, entry, 1, 0, 0.0).message


def test_a_request_larger_than_a_limit_passes_alone_and_its_excess_is_waited_out() -> None:
    accounts, entry = accounts_of(LimitsEntry(tpm=100))
    grant = accounts.reserve(accounts.of(entry), 500, 500, 0.0, AT)
    refused(accounts, entry, 1, 1, 0.0)
    ended(grant, 500, 20, 10.0)
    refused(accounts, entry, 1, 1, 60.0)
    accounts.reserve(accounts.of(entry), 1, 1, 72.0, AT)


def test_requests_at_the_same_time_are_given_back_when_they_end() -> None:
    accounts, entry = accounts_of(LimitsEntry(concurrency=1))
    grant = accounts.reserve(accounts.of(entry), 1, 1, 0.0, AT)
    assert refused(accounts, entry, 1, 1, 0.0).retry_after == 1
    ended(grant, None, None, 1.0)
    accounts.reserve(accounts.of(entry), 1, 1, 1.0, AT)


def test_what_an_engine_does_not_count_stays_as_it_was_estimated() -> None:
    accounts, entry = accounts_of(LimitsEntry(input_tpm=100))
    ended(accounts.reserve(accounts.of(entry), 60, 5, 0.0, AT), None, None, 0.0)
    refused(accounts, entry, 50, 0, 0.0)


def test_days_and_months_begin_anew_and_the_store_s_total_counts() -> None:
    accounts, entry = accounts_of(LimitsEntry(tokens_per_day=100, tokens_per_month=150))
    accounts.take(Totals(AT.timestamp(), 0, {"key:k": Total(day=90, month=90)}))
    error = refused(accounts, entry, 10, 1, 0.0)
    assert (error.code, error.retry_after) == ("insufficient_quota", 61)
    ended(accounts.reserve(accounts.of(entry), 5, 5, 0.0, AT), 5, 5, 0.0)
    tomorrow = datetime(2026, 4, 1, 0, 0, 1, tzinfo=UTC)
    ended(accounts.reserve(accounts.of(entry), 50, 45, 90.0, tomorrow), 50, 45, 90.0, at=tomorrow)
    assert "a day" in refused(accounts, entry, 5, 1, 91.0, tomorrow).message
    second = datetime(2026, 4, 2, 12, tzinfo=UTC)
    assert "a month" in refused(accounts, entry, 50, 10, 92.0, second).message


@given(st.lists(st.tuples(st.integers(1, 50), st.booleans(), st.booleans()), max_size=60))
def test_tokens_count_once_however_batches_and_totals_interleave(steps: list[tuple[int, bool, bool]]) -> None:
    """Each step uses tokens; then the segment may be sealed and counted by the store; then totals may be taken."""
    quota, unix = Quota(), AT.timestamp()
    segment, counted, sequence, true, waiting = 1, 0, 0, 0, 0
    for tokens, ships, asks in steps:
        quota.add(tokens, segment, unix)
        true, waiting = true + tokens, waiting + tokens
        if ships:
            counted, waiting, sequence, segment = counted + waiting, 0, segment, segment + 1
        if asks:
            quota.take(Total(counted, counted), unix, sequence)
        assert quota.used(unix, Today().at(unix).first_of_month) == (true, true)


def test_limits_follow_the_table_and_counts_outlive_it() -> None:
    accounts, entry = accounts_of(LimitsEntry(rpm=2))
    accounts.reserve(accounts.of(entry), 1, 1, 0.0, AT)
    entry = KeyEntry("k", "digest", "p", limits=LimitsEntry(rpm=1))
    accounts.swap(table(entry, None, None))
    refused(accounts, entry, 1, 1, 0.0)
    accounts.swap(table(KeyEntry("k", "digest", "p"), None, None))
    assert accounts.of(entry) == ()


def test_headers_tell_the_tightest_scope() -> None:
    accounts, entry = accounts_of(LimitsEntry(rpm=10, tpm=100), LimitsEntry(rpm=3))
    accounts.reserve(accounts.of(entry), 20, 10, 0.0, AT)
    headers = dict(line.split(b": ") for line in limit_headers(accounts.of(entry), 0.0).split(b"\r\n")[:-1])
    assert headers[b"x-ratelimit-limit-requests"] == b"3"
    assert headers[b"x-ratelimit-remaining-requests"] == b"2"
    assert headers[b"x-ratelimit-remaining-tokens"] == b"70"
    assert headers[b"x-ratelimit-reset-requests"] == b"61s"
    accounts, entry = accounts_of(LimitsEntry(concurrency=3))
    assert limit_headers(accounts.of(entry), 0.0) == b""
