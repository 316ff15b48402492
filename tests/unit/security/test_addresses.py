"""What the platform may fetch from on a user's behalf."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from aicp.core.errors import MalformedError
from aicp.security.addresses import Resolver, resolve_allowed, system_resolver

PUBLIC = "93.184.216.34"


def answers(*addresses: str) -> Resolver:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return addresses

    return resolve


async def refused(url: str, *addresses: str, allowed: Sequence[str] = ()) -> str:
    with pytest.raises(MalformedError) as caught:
        await resolve_allowed(url, allowed, answers(*(addresses or (PUBLIC,))))
    assert caught.value.code == "url_not_allowed"
    assert caught.value.status == 400
    return caught.value.message


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/a",
        "file:///etc/passwd",
        "gopher://example.com",
        "//example.com/a",
        "example.com/a",
        "http://",
        "http:///path",
        "https://user@example.com/a",
        "https://user:password@example.com/a",
        "https://@example.com/a",
        "https://example.com\\@127.0.0.1/a",
        "https:\\\\example.com/a",
        "https://example.com/a b",
        "https://exa\tmple.com/",
        "https://example.com/\r\nHost: x",
        "https://example.com:99999/",
        "https://example.com:x/",
        "https://[::1/",
        "https://exa%6dple.com/",
        "http://metadata.google.internal/computeMetadata",
        "http://METADATA.google.internal./",
    ],
)
async def test_addresses_of_a_wrong_form_are_refused(url: str):
    await refused(url)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "100.100.100.200",
        "192.0.0.192",
        "198.18.0.1",
        "192.0.2.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fd00:ec2::254",
        "fec0::1",
        "ff02::1",
        "2001:db8::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:93.184.216.34",
        "::127.0.0.1",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::a00:1",
        "2001:0:4136:e378:8000:63bf:80ff:fffe",
    ],
)
async def test_addresses_that_are_not_public_are_refused(address: str):
    await refused("https://example.com/model.tar", address)


async def test_one_bad_address_among_good_ones_is_enough():
    await refused("https://example.com/", PUBLIC, "10.0.0.1")


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "0177.0.0.1", "127.1", "localhost", "[::1]", "0"])
async def test_odd_spellings_of_loopback_are_seen_through(host: str):
    with pytest.raises(MalformedError):
        await resolve_allowed(f"http://{host}/", (), system_resolver)


async def test_the_checked_address_is_the_one_to_connect_to():
    allowed = await resolve_allowed("https://example.com:8443/a?b=c", (), answers(PUBLIC))
    assert allowed.pinned == f"https://{PUBLIC}:8443/a?b=c"
    assert (allowed.authority, allowed.host, allowed.port) == ("example.com:8443", "example.com", 8443)
    six = await resolve_allowed("http://example.com/a", (), answers("2606:2800:220:1::1"))
    assert six.pinned == "http://[2606:2800:220:1::1]:80/a"


@pytest.mark.parametrize("entry", ["10.1.0.0/16", "10.1.2.3", "mirror.corp", "MIRROR.corp."])
async def test_the_administrator_can_open_a_private_mirror(entry: str):
    allowed = await resolve_allowed("http://mirror.corp/a", [entry], answers("10.1.2.3"))
    assert allowed.address == "10.1.2.3"
    await refused("http://other.corp/a", "10.2.0.1", allowed=[entry])


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "fd00:ec2::254"]
)
async def test_metadata_services_stay_closed_whatever_is_listed(address: str):
    message = await refused("http://mirror.corp/a", address, allowed=["0.0.0.0/0", "::/0", "mirror.corp"])
    assert "metadata" in message


async def test_a_name_that_does_not_resolve_is_said_so():
    async def fails(host: str, port: int) -> Sequence[str]:
        raise OSError("no such name")

    with pytest.raises(MalformedError, match="does not resolve"):
        await resolve_allowed("https://example.com/", (), fails)
    with pytest.raises(MalformedError, match="no address"):
        await resolve_allowed("https://example.com/", (), answers())


async def test_a_refusal_repeats_no_credentials():
    assert "hunter2" not in await refused("https://user:hunter2@example.com/a")
    assert "hunter2" not in await refused("ftp://example.com/a?token=hunter2")
