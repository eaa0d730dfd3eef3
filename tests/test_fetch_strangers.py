"""What strangers cannot learn or reach by naming addresses; without any other network."""

from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagemill.errors import Fault, Kind
from imagemill.fetch import Policy
from imagemill.networks import public
from tests.sites import (
    METADATA,
    POLICY,
    hang,
    make_answer,
    make_tls,
    not_fetched,
    open_fetcher,
    open_site,
    redirect,
    refused,
    resolving,
)

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("target", ["127.0.0.1", "10.1.2.3", METADATA, "[::1]", "0.0.0.0"])
async def test_a_redirect_into_the_private_network_is_refused(target: str) -> None:
    policy = Policy(hosts=frozenset({"localhost"}), seconds=20.0)
    async with (
        open_site(make_answer()) as inner,
        open_site(redirect(inner.url("/", target))) as outer,
    ):
        message = await refused(outer.url("/", "localhost"), policy, local=False)
    assert message == not_fetched("localhost")
    assert len(outer.heard) == 1
    assert inner.heard == []


PRIVATE = [
    *["0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "172.16.0.1", "192.168.1.1", "198.18.0.1"],
    *["224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.0.9", "192.0.0.192", "192.88.99.1"],
    *[METADATA, "100.100.100.200", "fd00:ec2::254", "168.63.129.16"],
    *["::", "::1", "fe80::1", "fe80::1%lo", "fec0::1", "fc00::1", "ff02::1", "ff0e::1"],
    *["2001:db8::1", "3fff::1", "5f00::1", "100::1", "64:ff9b:1::808:808", "::8.8.8.8"],
    *["::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b::10.0.0.1"],
    *["2002:7f00:1::", "2002:a9fe:a9fe::1", "2001:0:a00:1::f7f7:f7f7", "2001:0:808:808::f5ff:fffe"],
]


@pytest.mark.parametrize("address", PRIVATE)
async def test_a_name_that_leads_to_a_private_address_is_refused(address: str) -> None:
    resolve = resolving("8.8.8.8", address)
    message = await refused("http://inner.test/", POLICY, resolve, local=False)
    assert message == not_fetched("inner.test")


@pytest.mark.parametrize("address", ["8.8.8.8", "2001:4860:4860::8888", "64:ff9b::808:808"])
async def test_a_public_address_is_allowed(address: str) -> None:
    async with open_fetcher(POLICY, resolving(address)) as fetcher:
        await fetcher.check("https://outer.test/hook")


async def test_a_stranger_cannot_tell_an_open_port_from_a_shut_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor either from a name that leads nowhere or into the private network."""
    caplog.set_level("INFO")
    named = Policy(hosts=frozenset({"a.test"}), seconds=1.0)

    async def unknown(host: str, port: int) -> list[str]:
        raise OSError("a text of the system")

    near, tls = resolving("127.0.0.1"), make_tls(tmp_path)[0]
    async with open_site(make_answer()) as shut:
        pass
    async with (
        open_site(b"SSH-2.0-x\r\n") as mute,
        open_site(hang) as slow,
        open_site(make_answer(), tls=tls) as untrusted,
    ):
        told = [
            await refused("http://a.test/", POLICY, unknown, local=False),
            await refused("http://a.test/", POLICY, resolving("10.1.2.3"), local=False),
            await refused(mute.url("/", "a.test"), POLICY, near, local=False),
            await refused(shut.url("/", "a.test"), named, near, local=False),
            await refused(mute.url("/", "a.test"), named, near, local=False),
            await refused(slow.url("/", "a.test"), named, near, local=False),
            await refused(f"https://a.test:{untrusted.port}/", named, near, local=False),
        ]
    assert set(told) == {not_fetched("a.test")}
    for why in ("no address", "(10.1.2.3)", "accepts no connection", "did not speak HTTP"):
        assert why in caplog.text


async def test_a_receiver_is_taken_alike_wherever_its_name_leads() -> None:
    """Not looked up before something is to be told; printed examples name hosts that are none."""
    for found in ([], ["10.1.2.3"], ["127.0.0.1"], ["8.8.8.8"]):
        async with open_fetcher(POLICY, resolving(*found)) as fetcher:
            await fetcher.check("https://optional.webhook.url/for/results")
            if found not in ([], ["8.8.8.8"]):
                with pytest.raises(Fault, match="private network"):
                    await fetcher.post("http://a.test/hook", b"", {}, 1.0)


@pytest.mark.parametrize(
    "host",
    [
        *["127.0.0.1", "127.1", "0x7f.1", "2130706433", "10.1.2.3", METADATA, "0", "[::1]"],
        *["localhost", "LocalHost.", "a.localhost", "127.0.0.1.", "[::ffff:10.0.0.1]"],
    ],
)
async def test_a_receiver_that_says_itself_that_it_is_private_is_refused(host: str) -> None:
    async with open_fetcher(POLICY) as fetcher:
        with pytest.raises(Fault, match="cannot be told of results; give a public") as caught:
            await fetcher.check(f"http://{host}/hook")
    assert caught.value.kind is Kind.FORBIDDEN
    named = Policy(hosts=frozenset({host.strip("[]")}), seconds=20.0)
    async with open_fetcher(named) as fetcher:
        await fetcher.check(f"http://{host}/hook")


@given(st.integers(0, 2**32 - 1).map(IPv4Address))
def test_an_address_is_judged_alike_in_every_wrapping(address: IPv4Address) -> None:
    number = int(address)
    for wrapped in (
        IPv6Address(0xFFFF << 32 | number),
        IPv6Address(0x64FF9B << 96 | number),
        IPv6Address(0x2002 << 112 | number << 80 | 1),
    ):
        assert public(wrapped) == public(address)


@pytest.mark.parametrize(
    "host",
    [
        *["127.0.0.1", "127.1", "0x7f.1", "0x7f000001", "2130706433", "017700000001", "0"],
        *["localhost", "LocalHost", "127。0。0。1", "[::1]", "[::ffff:127.0.0.1]", "[::127.0.0.1]"],
        *["[::ffff:7f00:1]", "[0:0:0:0:0:ffff:7f00:0001]", "[64:ff9b::7f00:1]"],
    ],
)
async def test_no_spelling_of_this_machine_slips_through(host: str) -> None:
    async with open_site(make_answer()) as site:
        told = await refused(site.url("/", host), local=False)
    assert told.endswith(not_fetched(""))
    assert site.heard == []


@pytest.mark.parametrize("host", ["localhost.", "127.0.0.1.", "inner.test."])
async def test_a_trailing_dot_changes_nothing(host: str) -> None:
    url = f"http://{host}/"
    told = await refused(url, POLICY, resolving("127.0.0.1"), local=False)
    assert told == not_fetched(host)


@pytest.mark.parametrize("named", ["files.test", "FILES.test", "files.test."])
async def test_a_host_that_the_operator_named_may_be_private(named: str) -> None:
    policy = Policy(hosts=frozenset({named}), seconds=20.0)
    async with (
        open_site(make_answer(body=b"ours")) as site,
        open_fetcher(policy, resolving("10.0.0.1")) as fetcher,
        open_fetcher(policy, resolving("127.0.0.1")) as near,
    ):
        assert (await near.get(site.url("/", "files.test"))).content == b"ours"
        for other in ("other.test", "files.test.other", "sub.files.test"):
            with pytest.raises(Fault, match="private network"):
                await fetcher.get(site.url("/", other), local=True)
    assert f"host: files.test:{site.port}".encode() in site.heard[0].lower()


def test_the_private_addresses_of_this_suite_are_private() -> None:
    assert [each for each in PRIVATE if public(ip_address(each))] == []
