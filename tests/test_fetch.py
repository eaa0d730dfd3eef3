"""Safe downloads and posts: against real servers on this machine, without any other network.

Callers are on this machine, too, unless a test says otherwise.
"""

import asyncio
import socket
import ssl
from pathlib import Path

import pytest

from imagemill.errors import Fault, Kind
from imagemill.fetch import REPLY_BYTES, Fetched, Policy
from tests.sites import (
    METADATA,
    POLICY,
    Answer,
    drip,
    hang,
    make_answer,
    make_tls,
    open_fetcher,
    open_site,
    redirect,
    refused,
    resolving,
)

pytestmark = pytest.mark.anyio


async def fetched(url: str, max_bytes: int | None = None) -> Fetched:
    """For a caller on this machine."""
    async with open_fetcher() as fetcher:
        return await fetcher.get(url, max_bytes, local=True)


async def test_a_file_comes_with_its_type_and_name() -> None:
    answer = make_answer(body=b"picture", content_type="Image/PNG; charset=x")
    async with open_site(answer) as site:
        url = site.url("/a/..%2Fr%C3%A9d%20cat.png?size=2#there")
        assert await fetched(url) == Fetched(b"picture", "image/png", "r_d_cat.png")


@pytest.mark.parametrize("declared", ["", "image", "a/b c", "<script>"])
async def test_a_type_that_is_none_is_not_passed_on(declared: str) -> None:
    async with open_site(make_answer(content_type=declared)) as site:
        assert (await fetched(site.url())).content_type == "application/octet-stream"


@pytest.mark.parametrize("path", ["", "/", "/..", "/a/", "/%2e%2e%2f", "/?x=/y.png", "/%00"])
async def test_a_file_without_a_name_gets_one(path: str) -> None:
    async with open_site(make_answer()) as site:
        assert (await fetched(site.url(path))).name == "file"


async def test_a_web_page_is_fetched_like_anything_else() -> None:
    async with open_site(make_answer(body=b"<html>", content_type="text/html")) as site:
        assert (await fetched(site.url())).content_type == "text/html"


async def test_a_body_in_chunks_is_put_together() -> None:
    answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
    async with open_site(answer) as site:
        assert (await fetched(site.url())).content == b"abc"


async def test_nothing_is_told_about_us_and_no_cookie_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    first = make_answer(302, location="/next", set_cookie="id=1")
    async with open_site(first, make_answer()) as site:
        await fetched(site.url())
    assert len(site.heard) == 2
    for head in site.heard:
        names = [line.split(b":")[0] for line in head.lower().splitlines()[1:-1]]
        assert sorted(names) == [
            b"accept",
            b"accept-encoding",
            b"connection",
            b"host",
            b"user-agent",
        ]
        assert b"accept-encoding: identity" in head.lower()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_followed(status: int) -> None:
    async with open_site(redirect("b/c", status), make_answer(body=b"there")) as site:
        got = await fetched(site.url("/a/x.png"))
    assert (got.content, got.name) == (b"there", "x.png")
    assert site.heard[1].startswith(b"GET /a/b/c ")


async def test_a_loop_of_redirects_ends() -> None:
    async with open_site(redirect("/again")) as site:
        message = await refused(site.url())
    assert "redirects more than 5 times" in message
    assert len(site.heard) == 6


@pytest.mark.parametrize(
    "location",
    ["file:///etc/passwd", "ftp://h/x", "http://a:b@127.0.0.1/", "http://[", "a:b"],
)
async def test_a_redirect_leads_only_to_http(location: str) -> None:
    async with open_site(redirect(location)) as site:
        assert "no http(s) address" in await refused(site.url())
    assert len(site.heard) == 1


@pytest.mark.parametrize("target", ["10.1.2.3", METADATA, "0.0.0.0"])
async def test_a_caller_on_this_machine_is_told_why_a_redirect_is_refused(target: str) -> None:
    async with open_site(redirect(f"http://{target}/")) as site:
        message = await refused(site.url(), kind=Kind.FORBIDDEN)
    assert "points into a private network" in message
    assert "fetch_hosts" in message


async def test_a_name_service_that_is_away_is_no_word_on_the_name() -> None:
    async def away(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_AGAIN, "a text of the system")

    async with open_fetcher(POLICY, away) as fetcher:
        for use in (fetcher.check("http://a.test/", True), fetcher.get("http://a.test/")):
            with pytest.raises(Fault, match="cannot be looked up at the moment") as caught:
                await use
            assert caught.value.kind is Kind.UNREACHABLE


async def test_loopback_is_all_that_a_local_caller_may_name_besides() -> None:
    for address in ("10.0.0.1", METADATA, "0.0.0.0", "::", "2002:7f00:1::"):
        told = await refused("http://a.test/", POLICY, resolving(address), Kind.FORBIDDEN)
        assert told.startswith(f"a.test points into a private network ({address})")
    async with open_fetcher(POLICY, resolving("127.0.0.1", "::1", "::ffff:127.0.0.1")) as fetcher:
        await fetcher.check("http://a.test/", local=True)


async def test_a_name_is_looked_up_once_a_hop_so_that_it_cannot_be_rebound() -> None:
    answers, asked = [["127.0.0.1"], ["127.0.0.1"], ["10.0.0.1"]], list[str]()

    async def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return answers.pop(0)

    async with (
        open_site(make_answer(body=b"one"), redirect("/next")) as site,
        open_fetcher(POLICY, resolve) as fetcher,
    ):
        assert (await fetcher.get(site.url("/", "rebound.test"), local=True)).content == b"one"
        assert asked == ["rebound.test"]
        with pytest.raises(Fault, match=r"private network \(10\.0\.0\.1\)"):
            await fetcher.get(site.url("/", "rebound.test"), local=True)
    assert asked == ["rebound.test"] * 3


async def test_the_next_address_is_tried_where_one_is_dead() -> None:
    async with (
        open_site(make_answer(body=b"alive")) as site,
        open_fetcher(POLICY, resolving("127.0.0.2", "127.0.0.1")) as fetcher,
    ):
        assert (await fetcher.get(site.url("/", "two.test"), local=True)).content == b"alive"


async def test_an_address_of_ipv6_is_reached() -> None:
    try:
        context = open_site(make_answer(body=b"six"), host="::1")
        async with context as site:
            assert (await fetched(site.url("/", "[::1]"))).content == b"six"
            assert f"host: [::1]:{site.port}".encode() in site.heard[0].lower()
    except OSError:
        pytest.skip("this machine has no IPv6")


async def test_an_unknown_name_is_told() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        raise OSError("a text of the system")

    for none in (resolve, resolving()):
        for host in ("no.test", "xn--"):
            message = await refused(f"http://{host}/", resolve=none)
            assert message == f"{host} has no address; check how it is spelt"


@pytest.mark.parametrize(
    "url",
    [
        *[
            "",
            "cat.png",
            "//host/x",
            "file:///etc/passwd",
            "ftp://host/x",
            "data:,x",
            "gopher://h/",
        ],
        *["http://", "http:///x", "http://?x", "http:host", "http://host:0/", "http://host:65536/"],
        *["http://host:x/", "http://a:b@host/", "http://a@host/", "http://host\\@other/"],
        *["http://a b/", "http://a%2e/", "http://a\n/", "http://a\0/", "http://.", "http://a..b/"],
        *["http://[fe80::1%25lo]/", "http://[::1", "http://[", "http://*/", "HTTP\t://host/"],
        *["http://" + "a." * 200, "http://host/" + "x" * 70_000],
    ],
)
async def test_what_is_no_web_address_is_invalid(url: str) -> None:
    async with open_fetcher() as fetcher:
        for use in (fetcher.get(url), fetcher.check(url), fetcher.post(url, b"", {}, 1.0)):
            with pytest.raises(Fault) as caught:
                await use
            assert caught.value.kind is Kind.INVALID
            assert len(caught.value.message) < 200


@pytest.mark.parametrize("status", [204 + 100, 300, 302, 400, 401, 404, 418, 500, 503, 599])
async def test_an_answer_without_a_file_is_told(status: int) -> None:
    async with open_site(make_answer(status, b"x")) as site:
        assert f"127.0.0.1 answered {status}" in await refused(site.url())


async def test_compressed_data_is_refused() -> None:
    async with open_site(make_answer(body=b"x", content_encoding="gzip")) as site:
        assert "compressed" in await refused(site.url())


async def test_an_announced_size_is_refused_before_it_is_read() -> None:
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n"  # and no body ever

    async def announce(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await reader.read()

    async with open_site(announce) as site:
        message = await refused(site.url(), kind=Kind.TOO_LARGE, max_bytes=1000)
    assert "more than 1000 bytes" in message


async def test_an_endless_body_is_cut_off() -> None:
    async with open_site(drip) as site:
        await refused(site.url(), kind=Kind.TOO_LARGE, max_bytes=1000)
        await refused(site.url(), Policy(max_bytes=10), kind=Kind.TOO_LARGE)


async def test_a_file_of_just_the_limit_is_read() -> None:
    async with open_site(make_answer(body=bytes(1000))) as site:
        assert len((await fetched(site.url(), max_bytes=1000)).content) == 1000


async def test_a_length_that_lies_is_found_out() -> None:
    async with open_site(make_answer(body=b"ten bytes.", content_length="20")) as site:
        assert "broke off" in await refused(site.url())
    async with open_site(make_answer(body=b"ten bytes.", content_length="3")) as site:
        assert (await fetched(site.url())).content == b"ten"
    for length in ("-1", "x", "9" * 5000, "1, 2"):
        async with open_site(make_answer(content_length=length)) as site:
            await refused(site.url())


@pytest.mark.parametrize(
    "answer", [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200_000]
)
async def test_what_does_not_speak_http_is_told(answer: bytes) -> None:
    async with open_site(answer) as site:
        assert "did not speak HTTP" in await refused(site.url())


@pytest.mark.parametrize("answer", [hang, drip])
async def test_the_time_is_limited_in_all_and_not_for_each_read(answer: Answer) -> None:
    policy = Policy(seconds=0.2, max_bytes=2**40)
    async with open_site(answer) as site:
        assert "127.0.0.1 took more than 0.2 seconds" in await refused(site.url(), policy)


async def test_a_slow_name_service_counts_into_the_time() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    assert "0.1 seconds" in await refused("http://a.test/", Policy(seconds=0.1), resolve)


async def test_a_closed_port_is_told() -> None:
    async with open_site(make_answer()) as site:
        pass
    assert await refused(site.url()) == "127.0.0.1 accepts no connection; check host and port"


@pytest.mark.parametrize("trusted", [True, False])
async def test_tls_is_checked_for_the_name_and_not_for_the_address(
    tmp_path: Path, trusted: bool
) -> None:
    server, certificate, names = make_tls(tmp_path)
    policy = Policy(hosts=frozenset({"files.test", "other.test"}), seconds=20.0)
    client = ssl.create_default_context(cadata=certificate) if trusted else None
    async with (
        open_site(make_answer(body=b"safe"), tls=server) as site,
        open_fetcher(policy, resolving("127.0.0.1"), client) as fetcher,
    ):
        for host, good in (("files.test", trusted), ("other.test", False)):
            url = f"https://{host}:{site.port}/"
            if good:
                assert (await fetcher.get(url)).content == b"safe"
            else:
                with pytest.raises(Fault, match=f"{host} has no TLS that can be trusted"):
                    await fetcher.get(url, local=True)
    assert names == ["files.test", "other.test"]


async def test_a_post_brings_body_and_headers_and_gives_the_status() -> None:
    bodies = list[bytes]()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        bodies.append(await reader.readexactly(4))
        writer.write(make_answer(503, b"later"))

    headers = {"X-Signature": "abc", "Content-Type": "application/json", "User-Agent": "mine"}
    secrets = {"Authorization": "s", "cookie": "s", "Host": "s", "Content-Length": "9"}
    async with open_site(answer) as site, open_fetcher() as fetcher:
        sent = headers | secrets
        assert await fetcher.post(site.url("/hook"), b"body", sent, 20.0, local=True) == 503
    head = site.heard[0].lower()
    assert bodies == [b"body"]
    assert head.startswith(b"post /hook ")
    for line in (b"x-signature: abc", b"content-type: application/json", b"user-agent: mine"):
        assert line in head.splitlines()
    assert head.count(b"content-length: 4\r\n") == head.count(b"content-length") == 1
    assert b"authorization" not in head
    assert b"cookie" not in head
    assert head.count(b"host: ") == head.count(f"host: 127.0.0.1:{site.port}\r\n".encode()) == 1


async def test_a_post_follows_no_redirect() -> None:
    async with open_site(redirect("/next")) as site, open_fetcher() as fetcher:
        assert await fetcher.post(site.url(), b"", {}, 20.0, local=True) == 302
    assert len(site.heard) == 1


async def test_a_post_does_not_read_an_endless_answer() -> None:
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while not reader.at_eof():
            writer.write(bytes(REPLY_BYTES))
            await writer.drain()

    async with open_site(flood) as site, open_fetcher() as fetcher:
        assert await fetcher.post(site.url(), b"", {}, 20.0, local=True) == 200


async def test_a_post_goes_nowhere_private_and_waits_no_longer_than_told() -> None:
    async with open_site(hang) as site, open_fetcher() as fetcher:
        posted, checked = fetcher.post(site.url(), b"", {}, 20.0), fetcher.check(site.url())
        # What came of a post is for the operator, who is told where the name leads.
        for use, told in ((posted, "private network"), (checked, "cannot be told of results")):
            with pytest.raises(Fault, match=told) as caught:
                await use
            assert caught.value.kind is Kind.FORBIDDEN
        assert site.heard == []
        with pytest.raises(Fault, match=r"took more than 0\.2 seconds"):
            await fetcher.post(site.url(), b"", {}, 0.2, local=True)


async def test_a_slow_server_does_not_hold_up_others() -> None:
    async with (
        open_site(hang) as slow,
        open_site(make_answer(body=b"fast")) as fast,
        open_fetcher() as fetcher,
    ):
        waiting = [asyncio.create_task(fetcher.get(slow.url(), local=True)) for _ in range(30)]
        while len(slow.heard) < 30:
            await asyncio.sleep(0)
        assert (await fetcher.get(fast.url(), local=True)).content == b"fast"
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
