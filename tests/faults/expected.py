"""What a client must get when an upstream fails, as data, and how it is judged."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import anthropic
import httpx2

from e2e.http_client import HELLO
from grammar import read

from .replies import TEXT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from e2e.http_client import Answer

UPSTREAM_FAULT = ("api_error", "overloaded_error")
NEVER = (b"Traceback", b"sk-canary", b"<html", b"<script")


@dataclass(frozen=True)
class Refused:
    """An HTTP error of one of these types, before anything else.

    `headers`: None means that there must be none. `native`: the upstream's own envelope passes as it is.
    """

    types: tuple[str, ...] = UPSTREAM_FAULT
    statuses: tuple[int, ...] = ()
    words: str = ""
    headers: Mapping[str, str | None] = field(default_factory=dict)
    native: bool = False


@dataclass(frozen=True)
class Broken:
    """A stream that begins with what was said and ends in an error of one of these types; an HTTP error otherwise.

    Nothing that was being called may look complete. `pings`: it was kept warm meanwhile.
    """

    types: tuple[str, ...] = UPSTREAM_FAULT
    words: str = ""
    pings: bool = False


@dataclass(frozen=True)
class Told:
    """The right answer, whole.

    `lines`: the upstream's own lines pass, which may be such as Anthropic never writes. `counts`: and so do its
    counts of tokens, unless this is False: then they may be anything that the library can read.
    """

    text: str | None = TEXT
    calls: int = 0
    lines: bool = False
    counts: bool = True


@dataclass(frozen=True)
class Either:
    """Any of these."""

    of: tuple[Refused | Broken | Told, ...]


Expected: TypeAlias = Refused | Broken | Told | Either


def judge(answer: Answer, expected: Expected, *, stream: bool) -> None:
    """Fail unless the answer is as expected, for the reader of the grammar and for Anthropic's own library."""
    for never in NEVER:
        assert never not in answer.body, answer.body[:300]
    assert answer.headers.get("request-id"), "no request id"
    match expected:
        case Either(of):
            _either(answer, of, stream=stream)
        case Refused():
            _refused(answer, expected, stream=stream)
        case Broken(types, words) if not stream:
            _refused(answer, Refused(types, words=words), stream=stream)
        case Broken():
            _broken(answer, expected)
        case Told():
            _told(answer, expected, stream=stream)


def _either(answer: Answer, of: tuple[Refused | Broken | Told, ...], *, stream: bool) -> None:
    missed = []
    for one in of:
        try:
            return judge(answer, one, stream=stream)
        except AssertionError as cause:
            missed.append(str(cause))
    raise AssertionError(" / ".join(missed))


def _refused(answer: Answer, expected: Refused, *, stream: bool) -> None:
    assert answer.status >= 400, (answer.status, answer.body[:200])
    error = answer.json["error"] if expected.native else answer.error()
    assert not expected.types or error["type"] in expected.types, error
    assert not expected.statuses or answer.status in expected.statuses, (answer.status, error)
    assert expected.words.lower() in error["message"].lower(), error
    assert len(error["message"]) <= 4001
    assert not re.search(r"[\x00-\x08\x1b\x7f]", error["message"]), error
    for name, value in expected.headers.items():
        assert answer.headers.get(name) == value, (name, answer.headers.get(name))
    _, raised = sdk_reads(answer, stream=stream)
    assert raised
    assert raised.status_code == answer.status


def _broken(answer: Answer, expected: Broken) -> None:
    assert answer.status == 200, (answer.status, answer.body[:300])
    told = read(completed(answer.body))
    assert told.error, "it ended well"
    assert told.error["type"] in expected.types, told.error
    assert expected.words.lower() in told.error["message"].lower(), told.error
    assert not told.ended
    assert told.stop_reason is None
    assert TEXT.startswith(told.text) or not told.text
    closed = [block for n, block in enumerate(told.blocks) if not (told.open and n == len(told.blocks) - 1)]
    assert not [block for block in closed if block["type"] == "tool_use"], "a call looks complete"
    assert told.pings or not expected.pings, "no ping"
    _, raised = sdk_reads(answer, stream=True)
    assert raised, "the library took it for an end"


def _told(answer: Answer, expected: Told, *, stream: bool) -> None:
    assert answer.status == 200, (answer.status, answer.body[:300])
    if stream:
        told = read(completed(plain(answer.body) if expected.lines else answer.body, counts=expected.counts))
        assert told.ended, told.error
        text, calls = told.text, len(told.calls)
    else:
        blocks = answer.json["content"]
        text = "".join(block["text"] for block in blocks if block["type"] == "text")
        calls = len([block for block in blocks if block["type"] == "tool_use"])
        assert answer.json["stop_reason"]
        assert not expected.counts or all(type(n) is int and n >= 0 for n in _counts(answer.json["usage"]))
    assert expected.text is None or text == expected.text, text[:300]
    assert calls == expected.calls
    if not expected.counts:
        return  # the library adds them up
    message, raised = sdk_reads(answer, stream=stream)
    assert not raised, raised
    assert message
    assert expected.text is None or "".join(one.text for one in message.content if one.type == "text") == expected.text


def _counts(usage: Mapping[str, Any]) -> list[Any]:
    return [usage[name] for name in ("input_tokens", "output_tokens")]


_EVENT = re.compile(rb"^event: ?(.*)$", re.MULTILINE)
_DATA = re.compile(rb"^data: ?(.*)$", re.MULTILINE)


def plain(body: bytes) -> bytes:
    """A stream of which each event is written as Anthropic writes it, without what the standard allows beside."""
    events = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n\n")
    named = ((_EVENT.findall(event), b"\n".join(_DATA.findall(event))) for event in events)
    told = ((b"".join(name), json.dumps(json.loads(data), separators=(",", ":"))) for name, data in named if data)
    return b"".join(b"event: %b\ndata: %b\n\n" % (name, data.encode()) for name, data in told)


_SPARSE = re.compile(rb'^data: (\{"type":"message_(?:start|delta)".*)$', re.MULTILINE)


def completed(body: bytes, *, counts: bool = True) -> bytes:
    """A stream with what Ollama leaves out, and the library does not miss; with counts of its own unless `counts`."""

    def with_all(found: re.Match[bytes]) -> bytes:
        event = json.loads(found[1])
        holder = "message" if "message" in event else "delta"
        event[holder] = {"stop_reason": None, "stop_sequence": None, **event[holder]}
        if not counts:
            (event["message"] if holder == "message" else event)["usage"] = {"input_tokens": 0, "output_tokens": 0}
        return b"data: " + json.dumps(event).encode()

    return _SPARSE.sub(with_all, body)


def sdk_reads(
    answer: Answer, *, stream: bool
) -> tuple[anthropic.types.Message | None, anthropic.APIStatusError | None]:
    """What Anthropic's library makes of an answer: a message, or an exception."""

    def same(_: httpx2.Request) -> httpx2.Response:
        kept = {name: value for name, value in answer.headers.items() if name.lower() not in _FRAMING}
        return httpx2.Response(answer.status, headers=kept, content=answer.body)

    with httpx2.Client(transport=httpx2.MockTransport(same)) as http:
        client = anthropic.Anthropic(api_key="k", base_url="http://up.test", max_retries=0, http_client=http)
        asked: Any = {**HELLO, "max_tokens": 1024}
        try:
            if not stream:
                return client.messages.create(**asked), None
            with client.messages.stream(**asked) as events:
                return events.get_final_message(), None
        except anthropic.APIStatusError as cause:
            return None, cause


_FRAMING = {"transfer-encoding", "content-length", "content-encoding", "connection"}


def shown(answer: Answer) -> str:
    """An answer, for a message of failure."""
    return json.dumps([answer.status, answer.body[:400].decode(errors="replace")])
