"""What must hold for any bytes: a target takes them and fails only where the proxy is wrong.

Each is fed by `run.py` with what atheris makes up, and by `test_corpus.py` with what is stored.
"""

from __future__ import annotations

import contextlib
import json
from io import StringIO
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from dotenv import dotenv_values
from yarl import URL

from calls import JSON, SSE, body, call
from claude_code_proxy.calibration import Factor
from claude_code_proxy.dialects import DIALECTS
from claude_code_proxy.dialects.base import Answer, Local, Outgoing
from claude_code_proxy.dialects.event_stream import EventStream
from claude_code_proxy.dialects.search import Search
from claude_code_proxy.hosts import is_near
from claude_code_proxy.http.guard import admit, keep_private
from claude_code_proxy.http.origin import keep_out
from claude_code_proxy.http.passage import Passage, leaves
from claude_code_proxy.http.surface import split
from claude_code_proxy.kinds import kind_of
from claude_code_proxy.metrics import Metrics, Outcome
from claude_code_proxy.routing import route
from claude_code_proxy.settings import SettingsError, load_settings
from claude_code_proxy.tables import Kinds, LongContext
from claude_code_proxy.upstream import Pool
from claude_code_proxy.windows import too_long
from claude_code_proxy.wire import framing as frames
from claude_code_proxy.wire.counting import count
from claude_code_proxy.wire.failure import STATUS, ApiError, envelope
from claude_code_proxy.wire.head import body_of, decode_head
from claude_code_proxy.wire.watch import Watch
from grammar import read
from machines import fed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from claude_code_proxy.dialects.base import Dialect

KEY: Final = "the-right-key-0123456789"
_ENV: Final = {"CLAUDE_CODE_PROXY_ENV_FILE": "", "OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k"}
EVERY_KIND: Final = Kinds("s:m", "i:m", LongContext(9, "l:m"), "a:m", "b:m", "t:m")
OPEN: Final = load_settings(_ENV)
LOCKED: Final = load_settings({**_ENV, "PROXY_API_KEY": KEY})
_OUTGOING: Final = Outgoing("http://up.test/v1", b"")


def in_pieces(data: bytes) -> list[bytes]:
    """The data in pieces, the same for the same data."""
    random = Random(len(data))
    at = sorted({0, len(data), *(random.randint(0, len(data)) for _ in range(min(len(data), 12)))})
    return [data[a:b] for a, b in pairwise(at)]


def framing(data: bytes) -> None:
    """Where the pieces are cut never matters (F-01)."""
    for machine in (frames.SSE, frames.Lines, frames.Whole, EventStream):
        whole = fed(machine(), [data])
        assert fed(machine(), in_pieces(data)) == whole
        if len(data) < 2000:
            assert fed(machine(), [data[at : at + 1] for at in range(len(data))]) == whole


def reply_of(dialect: Dialect, *, native: str = "") -> Callable[[bytes], None]:
    """Any bytes make a stream of Anthropic's grammar or a failure, wherever they are cut (F-02).

    What an upstream that speaks Anthropic's format says passes as it is, unless it is to be mended.
    """
    passes = dialect.name == "anthropic" and not native
    quirks = {"native": native} if native else {}

    def told(pieces: list[bytes], media_type: str, *, stream: bool) -> bytes:
        watch = Watch()
        asked = call(body(stream=stream), quirks=quirks)
        machine = dialect.reply(asked, _OUTGOING, Answer(200, {"content-type": media_type}), watch)
        out = b"".join(fed(machine, pieces))
        assert watch.over
        assert passes or bool(watch.failed) is not bool(watch.stop)
        if watch.failed:
            known(watch.failed.type, watch.failed.status)
        return out

    def target(data: bytes) -> None:
        for media_type in (SSE, JSON):
            out, cut = (told(pieces, media_type, stream=True) for pieces in ([data], in_pieces(data)))
            whole = told([data], media_type, stream=False)
            if passes:
                assert fed(frames.SSE(), [out]) == fed(frames.SSE(), [cut])
                continue
            assert read(out, any_input=True) == read(cut, any_input=True)
            assert not whole or json.loads(whole)

    return target


def request_of(dialect: Dialect) -> Callable[[bytes], None]:
    """Any bytes are a request that can be sent on, or are told what is wrong with them (F-04, F-06)."""

    def target(data: bytes) -> None:
        try:
            asked = call(data)
            assert asked.head.model.strip()
            made = dialect.request(asked)
        except ApiError as cause:
            refused(cause)
            return
        if not isinstance(made, Outgoing):
            assert isinstance(made, Local | Search)
            return
        assert made.url.startswith("http://up.test/")
        assert dialect.name == "anthropic" or isinstance(json.loads(made.body), dict)
        for name, value in made.headers:
            assert not {"\r", "\n", "\0"} & set(name + value)

    return target


def failure_of(dialect: Dialect) -> Callable[[bytes], None]:
    """Whatever an error says, it is told in Anthropic's words (F-02)."""
    asked = call(body())

    def target(data: bytes) -> None:
        status = (400, 401, 403, 404, 413, 429, 500, 503, 529, 302, 418, 599)[len(data) % 12]
        for headers in ({}, {"content-type": JSON, "retry-after": data[:20].decode("latin-1")}):
            failure = dialect.failure(asked, Answer(status, headers), data)
            known(failure.type, failure.status)
            if failure.body is None:
                told = json.loads(envelope(failure, "req_1"))
                assert told["error"]["message"]
                assert "\x1b" not in told["error"]["message"]
            for name, value in failure.headers:
                assert not {13, 10, 0} & {*name, *value}

    return target


def front_door(data: bytes) -> None:
    """Any bytes are a request, or told what is wrong; what is not replaced keeps its meaning (F-06)."""
    try:
        head = decode_head(data)
        kind_of(head, {}, EVERY_KIND)
        too_long(head, 9, Factor())
        metrics = Metrics()
        metrics.drift.request({}, head)
        metrics.ended(Outcome("messages"))
        assert metrics.text().endswith("\n")
        told = body_of(head)
        count(head)
    except ApiError as cause:
        refused(cause)
        return
    assert told["model"] == head.model
    changed = body_of(decode_head(head.with_fields(model="other")))
    assert changed == {**told, "model": "other"}


def visitors(data: bytes) -> None:
    """Any headers let in those who may come, and raise nothing but refusals (F-05)."""
    headers = [(name, value) for line in data.split(b"\n") for name, _, value in (line.partition(b":"),)]
    lower = [(name.lower(), value) for name, value in headers]
    scope = {"headers": lower, "server": ("127.0.0.1", 4000)}
    named = {name.decode("latin-1"): value.decode("latin-1") for name, value in lower}
    for settings in (OPEN, LOCKED):
        try:
            keep_out(scope, settings)
            keep_private(scope, settings)
        except ApiError as cause:
            refused(cause)
        else:
            [host] = [value.decode("latin-1") for name, value in lower if name == b"host"]
            assert settings is LOCKED or urlsplit(f"//{host}").hostname, "a Host that names nothing was let in"
            origins = {value.lower() for name, value in lower if name == b"origin"}
            assert origins <= {f"{scheme}://{host}".lower().encode("latin-1") for scheme in ("http", "https")}
    try:
        left = admit(named, LOCKED)
    except ApiError as cause:
        assert (cause.failed.status, cause.failed.type) == (401, "authentication_error")  # noqa: PT017
        assert KEY not in named.get("x-api-key", "") or named["x-api-key"] != KEY
    else:
        assert KEY in named.get("x-api-key", "") + named.get("authorization", "")
        assert KEY not in left.get("x-api-key", "") or left["x-api-key"].strip() != KEY


def places(data: bytes) -> None:
    """Whatever is asked for, it is asked of a host that was configured, and below its path (F-05, S-04, S-18)."""
    path = data.decode("latin-1")
    known_hosts = {urlsplit(provider.base_url).netloc for provider in OPEN.providers.values()}
    decoded = unquote(path, errors="replace")
    if place := split(decoded):
        with contextlib.suppress(ApiError):
            assert route(place[0], "claude-opus-4", OPEN).provider.host in known_hosts
    with contextlib.suppress(ApiError):
        target = route("", decoded or "m", OPEN)
        assert target.provider.host in known_hosts
        URL(target.provider.root + "/v1/messages")
    scope = {"raw_path": data, "path": decoded, "method": "GET"}
    way = Passage(OPEN, _POOL).way(scope)
    if way and not leaves(way.path):
        address = way.address()
        assert URL(address, encoded=True).origin() == URL(way.provider.base_url).origin()
        assert address.startswith(way.provider.root + "/")
        assert ".." not in unquote(unquote(address)).replace("\\", "/").split("/")
    with contextlib.suppress(ValueError):  # what is no URL at all
        is_near(decoded)


def environment(data: bytes) -> None:
    """Any .env is read, or told what is wrong with it (F-08)."""
    held = dotenv_values(stream=StringIO(data.decode("utf-8", "replace")), interpolate=False)
    with contextlib.suppress(SettingsError):
        load_settings({name: value for name, value in held.items() if value is not None})


def known(kind: str, status: int) -> None:
    """A failure has a type that clients know, and the status of an error."""
    assert kind in STATUS
    assert 400 <= status <= 599


def refused(cause: ApiError) -> None:
    """It is the client's mistake, said in a way that can be sent."""
    known(cause.failed.type, cause.failed.status)
    assert cause.failed.status < 500
    json.loads(envelope(cause.failed, "req_1"))


def _of_dialects(
    kind: str, make: Callable[[Dialect], Callable[[bytes], None]]
) -> Iterator[tuple[str, Callable[[bytes], None]]]:
    yield from ((f"{kind}-{name}", make(dialect)) for name, dialect in DIALECTS.items())


_POOL: Final = Pool(OPEN)

TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "framing": framing,
    **dict(_of_dialects("reply", reply_of)),
    "reply-mended": reply_of(DIALECTS["anthropic"], native="mended"),
    **dict(_of_dialects("request", request_of)),
    **dict(_of_dialects("failure", failure_of)),
    "front-door": front_door,
    "visitors": visitors,
    "places": places,
    "environment": environment,
}
"""Every target, by name."""
