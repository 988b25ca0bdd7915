"""Heads of every wrong kind, written by hand (C-14 to C-16, C-26 to C-28)."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from upstreams import Chat

from .line import HEAD, PATH, error, healthy_clients, line, request, said, status
from .processes import PROC, resident

if TYPE_CHECKING:
    from upstreams import FakeChat

    from .conftest import Started

pytestmark = pytest.mark.asyncio(loop_scope="session")

HOST = b"Host: localhost\r\n"
JSON = b"Content-Type: application/json\r\n"
CLOSE = b"Connection: close\r\n"
POST = b"POST /v1/messages HTTP/1.1\r\n" + HOST + JSON
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n"


def get(*lines: bytes, target: bytes = b"/") -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\n" + HOST + CLOSE + b"".join(one + b"\r\n" for one in lines) + b"\r\n"


# the corpus: what is sent, and the status; 0 where the connection is closed without a word
SMUGGLING: dict[str, tuple[bytes, int]] = {
    "both lengths": (CHUNKED + b"Content-Length: 4\r\n\r\n0\r\n\r\n", 400),
    "two lengths": (POST + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde", 400),
    "the same length twice": (POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400),
    "a length with a sign": (POST + b"Content-Length: +2\r\n\r\n{}", 400),
    "a negative length": (POST + b"Content-Length: -2\r\n\r\n{}", 400),
    "a length in hex": (POST + b"Content-Length: 0x2\r\n\r\n{}", 400),
    "a length beyond all": (POST + b"Content-Length: 99999999999999999999999\r\n\r\n{}", 400),
    "two lengths in one": (POST + b"Content-Length: 2, 2\r\n\r\n{}", 400),
    "bare LF": (b"GET / HTTP/1.1\nHost: localhost\n\n", 400),
    "a space before the colon": (b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n", 400),
    "a folded line": (get(b"X: a\r\n b"), 400),
    "two Hosts": (get(HOST.strip()), 400),
    "no Host": (b"GET / HTTP/1.1\r\n" + CLOSE + b"\r\n", 400),
    "no Host at all": (b"GET / HTTP/1.0\r\n\r\n", 400),
    "LF in a chunk's extension": (CHUNKED + b"\r\n2;a\n{}\r\n0\r\n\r\n", 400),
    "no size of a chunk": (CHUNKED + b"\r\nxx\r\n{}\r\n0\r\n\r\n", 400),
    "a chunk that goes on": (CHUNKED + b"\r\n2\r\n{}x\r\n0\r\n\r\n", 400),
    "xchunked": (POST + b"Transfer-Encoding: xchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 400),
    "chunked and then more": (POST + b"Transfer-Encoding: chunked, identity\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 400),
    "NUL": (get(b"X: a\0b"), 400),
    "CR": (get(b"X: a\rb"), 400),
    "no colon": (get(b"X"), 400),
    "an unknown method": (b"BREW / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "a tunnel": (b"CONNECT localhost:443 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "a version of its own": (b"GET / HTTP/9.9\r\n" + HOST + b"\r\n", 400),
    "no version": (b"GET /\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "bytes in the path": (get(target=b"/\xc3\xa9"), 400),
    "a space in the path": (get(target=b"/a b"), 400),
    "the whole address": (get(target=b"http://localhost/"), 200),
    "a WebSocket": (get(b"Upgrade: websocket", b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: eA=="), 200),
}


@pytest.mark.parametrize("case", SMUGGLING)
@pytest.mark.fault("C-16")
async def test_what_a_head_may_be(start: Started, case: str) -> None:
    sent, expected = SMUGGLING[case]
    proxy = await start()
    async with line(proxy.url, sent) as raw:
        answer = await asyncio.wait_for(raw.reader.readuntil(b"\r\n\r\n"), 10)
        answer += await raw.reader.readexactly(int(answer.lower().partition(b"content-length: ")[2].split()[0]))
    assert status(answer) == expected
    if expected != 200:
        assert error(answer)["type"] == "invalid_request_error"


SIZES: dict[str, tuple[bytes, set[int]]] = {
    "60 KB in a header": (get(b"X: " + b"x" * 60_000), {200}),
    "66 KB in a header": (get(b"X: " + b"x" * 66_000), {431}),
    "66 KB in many": (get(*(b"X: " + b"x" * 1000 for _ in range(66))), {431}),
    "1 MB in a header": (get(b"X: " + b"x" * 1_000_000), {431, 0}),  # the answer may be lost with what was not read
    "20 MB in a header": (get(b"X: " + b"x" * 20_000_000), {431, 0}),
    "20 MB in a name": (get(b"x" * 20_000_000 + b": x"), {431, 0}),
    "90 headers": (get(*[b"X: x"] * 90), {200}),
    "101 headers": (get(*[b"X: x"] * 101), {431}),
    "10,000 headers": (get(*[b"X: x"] * 10_000), {431, 0}),
    "a URL of 15 KB": (get(target=b"/" + b"x" * 15_000), {404}),
    "a URL of 20 KB": (get(target=b"/" + b"x" * 20_000), {414}),
    "a URL of 1 MB": (get(target=b"/" + b"x" * 1_000_000), {414, 431, 0}),
    "20 MB in a trailer": (CHUNKED + b"\r\n2\r\n{}\r\n0\r\nX: " + b"x" * 20_000_000, {400, 431, 0}),
    "20 MB in a chunk's extension": (CHUNKED + b"\r\n2;" + b"x" * 20_000_000, {400, 431, 0}),
    "20 MB of blank lines": (b"\r\n" * 10_000_000, {431, 0}),
    "20 MB of requests": (get().replace(CLOSE, b"") * 300_000, {200, 400, 0}),
}


@pytest.mark.skipif(not PROC.exists(), reason="memory is measured by /proc")
@pytest.mark.parametrize("case", SIZES)
@pytest.mark.fault("C-15")
async def test_how_large_a_head_may_be(start: Started, chat: FakeChat, case: str) -> None:
    sent, expected = SIZES[case]
    proxy = await start(HEAD_TIMEOUT="3", BODY_TIMEOUT="3")
    async with healthy_clients(proxy.url, chat):
        before = resident(proxy.process.pid)
        assert status(await said(proxy.url, sent)) in expected
        assert resident(proxy.process.pid) - before < 16


async def test_a_trailer_is_no_header(start: Started, chat: FakeChat) -> None:
    proxy = await start(PROXY_API_KEY="canary-of-the-proxy")
    head = f"POST {PATH} HTTP/1.1\r\n".encode() + HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    body = request(stream=False).partition(b"\r\n\r\n")[2]
    sent = head + b"%x\r\n%b\r\n0\r\nX-Api-Key: canary-of-the-proxy\r\n\r\n" % (len(body), body)
    async with line(proxy.url, sent) as raw:
        assert (await raw.answer())[0] == 401
    assert chat.posts == []


@pytest.mark.fault("C-14")
async def test_requests_in_a_row_are_answered_in_order(start: Started, chat: FakeChat) -> None:
    """Fifty at once on one connection, of all kinds."""
    proxy = await start()
    kinds = [
        get().replace(CLOSE, b""),
        request(stream=False),
        request(b"{"),
        get(target=b"/nowhere").replace(CLOSE, b""),
    ]
    expected = [200, 200, 400, 404]
    async with line(proxy.url, b"".join(kinds[i % 4] for i in range(50))) as raw:
        answers = [await raw.answer() for _ in range(50)]
    assert [answer[0] for answer in answers] == [expected[i % 4] for i in range(50)]
    assert all(b"Hello there" in body for _, _, body in answers[1::4])
    assert len(chat.posts) == len(answers[1::4])


@pytest.mark.fault("C-14")
async def test_a_connection_serves_on_after_an_error(start: Started, chat: FakeChat) -> None:
    proxy = await start()
    async with line(proxy.url) as raw:
        for sent, expected in ((b"{", 400), (b"[]", 400), (None, 200), (b"", 400), (None, 200)):
            raw.writer.write(request(stream=False) if sent is None else request(sent))
            code, _, body = await raw.answer()
            assert code == expected
            assert (b"Hello there" in body) == (expected == 200)
    assert len(chat.posts) == 2


PATHS = [
    *("/v1/messages/", "/v1/messages/x", "/v1/../v1/messages", "/v1/%2e%2e/messages", "/..;/v1/messages", "/\\v1"),
    *("/v1/messages%00", "/%ff%fe", "/v1/messages;x=y", "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/.env"),
    *("/static/../server.py", "/v1/models/../../x", "/openai:x/../v1/messages", "/%e2%80%ae", "/v1//messages", "/*"),
]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "PROPFIND"])
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.fault("C-26", "S-18")
async def test_odd_paths(start: Started, path: str, method: str) -> None:
    proxy = await start()
    sent = f"{method} {path} HTTP/1.1\r\n".encode() + HEAD + b"Content-Length: 2\r\nConnection: close\r\n\r\n{}"
    answer = await said(proxy.url, sent)
    assert status(answer) in {200, 400, 404, 405}
    if status(answer) == 200:
        assert answer.endswith(b'{"data":[],"has_more":false,"first_id":null,"last_id":null}')
    else:
        error(answer)


CREDENTIALS: dict[str, bytes] = {
    "none": b"",
    "not ASCII": b"Authorization: Bearer \xc3\xa9\xff\r\n",
    "60 KB": b"Authorization: Bearer " + b"x" * 60_000 + b"\r\n",
    "Basic": b"Authorization: Basic Y2FuYXJ5LW9mLXRoZS1wcm94eQ==\r\n",
    "Basic with the key": b"Authorization: Basic canary-of-the-proxy\r\n",
    "twice": b"Authorization: Bearer canary-of-the-proxy\r\n" * 2,
    "twice as x-api-key": b"X-Api-Key: canary-of-the-proxy\r\n" * 2,
    "empty": b"Authorization:\r\nX-Api-Key:\r\n",
    "Bearer alone": b"Authorization: Bearer\r\n",
    "a part of it": b"X-Api-Key: canary-of-the-prox\r\n",
    "more than it": b"X-Api-Key: canary-of-the-proxyy\r\n",
    "in capitals": b"X-Api-Key: CANARY-OF-THE-PROXY\r\n",
    "JSON": b'X-Api-Key: {"$ne": null}\r\n',
    "SQL": b"X-Api-Key: ' OR 1=1 --\r\n",
}


@pytest.mark.parametrize("case", CREDENTIALS)
@pytest.mark.fault("C-27")
async def test_wrong_credentials_are_all_alike(start: Started, chat: FakeChat, case: str) -> None:
    proxy = await start(PROXY_API_KEY="canary-of-the-proxy")
    sent = request(stream=False).replace(HEAD, HEAD + CREDENTIALS[case])
    async with line(proxy.url, sent) as raw:
        code, headers, body = await raw.answer()
    assert (code, headers["x-should-retry"]) == (401, "false")
    assert json.loads(body)["error"]["type"] == "authentication_error"
    assert chat.posts == []


@pytest.mark.usefixtures("chat")
async def test_one_of_two_credentials_is_enough(start: Started) -> None:
    proxy = await start(PROXY_API_KEY="canary-of-the-proxy")
    both = b"X-Api-Key: something\r\nAuthorization: bearer  canary-of-the-proxy\r\n"
    async with line(proxy.url, request(stream=False).replace(HEAD, HEAD + both)) as raw:
        assert (await raw.answer())[0] == 200


@pytest.mark.fault("C-28")
async def test_what_a_client_says_cannot_forge_a_line_of_the_log(start: Started, chat: FakeChat) -> None:
    proxy = await start()
    chat.use(Chat("Hello there"))
    forged = "mark\x1b[31m\u2028INFO POST / \u0085 %n %s \\r\\n \n forged"
    body = json.loads(request(stream=False).partition(b"\r\n\r\n")[2]) | {
        "model": forged,
        "metadata": {"user_id": forged},
    }
    agent = b"User-Agent: mark[31m %n \xff\r\nX-Request-Id: mark\r\n"
    sent = request(json.dumps(body).encode(), path="/v1/messages%0d%0aforged").replace(HEAD, HEAD + agent)
    async with line(proxy.url, sent) as raw:
        assert (await raw.answer())[0] in {400, 404}
    sent = request(json.dumps(body).encode(), path="/v1/messages").replace(HEAD, HEAD + agent)
    async with line(proxy.url, sent) as raw:
        assert (await raw.answer())[0] in {200, 400}
    told = [one for one in await proxy.log.until("mark") if "forged" in one]
    assert told
    assert all(one.isprintable() for one in told)
