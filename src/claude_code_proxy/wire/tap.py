"""A native stream of Anthropic's: handed on byte for byte, and watched.

Whole events pass as they came. The piece of an event that has not ended is held back, so that a client
never sees half of one when the stream is cut: it gets `event: error` instead. What comes before the first
event that says something (`message_start`, pings) is held back as well, so that an early failure is still
an HTTP error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import orjson

from claude_code_proxy.wire.billed import cost_in
from claude_code_proxy.wire.events import Stop, Usage
from claude_code_proxy.wire.failure import error_event, failed, from_error
from claude_code_proxy.wire.framing import BOM, LARGEST_EVENT, SSE, too_large
from claude_code_proxy.wire.json_text import MOST, fields

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from claude_code_proxy.wire.events import StopReason
    from claude_code_proxy.wire.failure import Failed
    from claude_code_proxy.wire.watch import Watch

_BOUNDARIES: Final = (b"\n\n", b"\n\r\n", b"\r\r")
"""What ends an event, whichever line ends the upstream uses."""

_SILENT: Final = frozenset({"message_start", "ping"})


class Tap:
    """A machine from the bytes of a native stream to the same bytes.

    Raises `ApiError` for more than is sensible in one event, or before anything is said.
    """

    __slots__ = ("_early", "_fresh", "_held", "_reader", "_rest", "_seam", "_stop", "_watch")

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._reader = SSE()
        self._fresh = True  # no event was read yet: a byte order mark may come, which clients take for a field's name
        self._rest: list[bytes] = []  # of the event that has not ended
        self._seam = b""  # its last two bytes: a boundary may be cut
        self._early: list[bytes] = []  # whole events that say nothing yet
        self._held = 0  # bytes of what is held back
        self._stop = Stop("end_turn")

    def feed(self, chunk: bytes, /) -> Sequence[bytes]:
        if self._watch.over:
            return ()
        seam = self._seam + chunk
        if not any(mark in seam for mark in _BOUNDARIES):
            self._rest.append(chunk)
            self._seam = seam[-2:]
            self._hold(len(chunk))
            return ()
        data = b"".join([*self._rest, chunk])
        end = max(at + len(mark) for mark in _BOUNDARIES if (at := data.rfind(mark)) >= 0)
        self._rest = [data[end:]] if end < len(data) else []
        self._seam = data[end:][-2:]
        if self._watch.started:
            self._held = 0
        else:
            self._hold(len(chunk))
        return self._pass(data[:end])

    def close(self) -> Sequence[bytes]:
        if self._watch.over:
            return ()
        rest = b"".join(self._rest)
        out = [*self._pass(rest + b"\n\n")] if _ends(rest) else []
        if not self._watch.over:
            self._watch.failed = self._aside(rest) or self._watch.truncation()
            if self._watch.started:
                out.append(error_event(self._watch.failed))
        return out

    def _aside(self, rest: bytes) -> Failed | None:
        """The error that the end of a stream tells in no event, or in one without the blank line after it."""
        for payload in (*self._reader.feed(rest), *self._reader.close()):
            if failure := _error_in(_parsed(payload)):
                return failure
        return None

    def _hold(self, size: int) -> None:
        self._held += size
        if self._held > LARGEST_EVENT:
            self._rest.clear()
            self._early.clear()
            raise too_large(LARGEST_EVENT)

    def _pass(self, events: bytes) -> Sequence[bytes]:
        if self._fresh:
            self._fresh = False
            events = events.removeprefix(BOM)
        told = True
        for payload in self._reader.feed(events + b"\n" if events.endswith(b"\r") else events):
            if b'"content_block_delta"' in payload[:60]:  # nearly always
                self._watch.started = True
            else:
                told = self._look(payload)
                if self._watch.over:
                    events = _until(events, payload) if told else _before(events, payload)
                    break
        if not self._watch.started:
            self._early.append(events)
            return ()
        if self._early:
            events = b"".join([*self._early, events])
            self._early.clear()
        if self._watch.failed and not told:
            return (events, error_event(self._watch.failed))
        return (events,)

    def _look(self, payload: bytes) -> bool:
        """See what an event says; whether the client, too, understands it so."""
        event = _parsed(payload)  # the client is the judge of what is no JSON
        kind = event.get("type")
        if failure := _error_in(event):
            self._watch.failed = failure
            return kind == "error"
        self._watch.started = self._watch.started or (isinstance(kind, str) and kind not in _SILENT)
        if kind == "message_start":
            self._count(event.get("message"))
        elif kind == "message_delta":
            self._count(event)
            self._stop = stop_of(event.get("delta"))
        elif kind == "message_stop":
            self._watch.stop = self._stop
        else:
            self._watch.passed_over(kind)
        return True

    def _count(self, holder: object) -> None:
        self._watch.usage = self._watch.usage.updated(usage_of(holder))


def _until(events: bytes, payload: bytes) -> bytes:
    """The events until the end of the one that holds this payload: nothing follows what ends a stream."""
    at = events.find(payload)
    if at < 0:  # its data stand in several lines
        return events
    ends = (found + len(mark) for mark in _BOUNDARIES if (found := events.find(mark, at + len(payload))) >= 0)
    return events[: min(ends, default=len(events))]


def _before(events: bytes, payload: bytes) -> bytes:
    """The events before the one that holds this payload."""
    at = events.find(payload)
    if at < 0:  # its data stand in several lines
        return events
    ends = (found + len(mark) for mark in _BOUNDARIES if (found := events.rfind(mark, 0, at)) >= 0)
    return events[: max(ends, default=0)]


def _parsed(payload: bytes) -> dict[str, Any]:
    try:
        return fields(orjson.loads(payload))
    except orjson.JSONDecodeError:
        return {}


def _error_in(event: dict[str, Any]) -> Failed | None:
    """The error that an event tells; some gateways leave out the type, and clients then pass it over."""
    if event.get("type") == "error" or (event.get("type") is None and event.get("error")):
        return from_error(event)
    return None


def is_message(message: dict[str, Any]) -> bool:
    """Whether a whole reply is a message at all. One without a word may have no content, but says what it is."""
    return "content" in message and (message["content"] is not None or message.get("type") == "message")


def _ends(rest: bytes) -> bool:
    """Whether the rest of a stream is its last event, of which only the blank line is missing."""
    reader = SSE()
    payloads = (*reader.feed(rest), *reader.close())
    try:
        return any(fields(orjson.loads(payload)).get("type") == "message_stop" for payload in payloads)
    except orjson.JSONDecodeError:
        return False


class WholeTap:
    """A machine from the bytes of a native whole reply to the same bytes, once they are all there.

    `mend` is given a message with the usage it tells, and gives the bytes that go on in its place.
    """

    __slots__ = ("_mend", "_parts", "_watch")

    def __init__(self, watch: Watch, mend: Callable[[bytes, Usage], bytes] | None = None) -> None:
        self._watch, self._mend = watch, mend
        self._parts: list[bytes] = []

    def feed(self, chunk: bytes, /) -> Sequence[bytes]:
        self._parts.append(chunk)
        return ()

    def close(self) -> Sequence[bytes]:
        watch, body = self._watch, b"".join(self._parts)
        if watch.cut:
            watch.failed = watch.cut
            return ()
        try:
            message = fields(orjson.loads(body))
        except orjson.JSONDecodeError:
            message = {}
        if not message:
            watch.failed = failed("api_error", "The upstream answered something that is not JSON.", status=502)
        elif "error" in message:
            watch.failed = from_error(message)
        elif not is_message(message):
            watch.failed = failed("api_error", "The upstream answered something that is no message.", status=502)
        else:
            watch.usage = usage_of(message)
            watch.started, watch.stop = True, stop_of(message)
            return (self._mend(body, watch.usage) if self._mend else body,)
        return ()


def usage_of(holder: object) -> Usage:
    """The usage that a native message or `message_delta` carries; what is missing or no number is unknown."""
    usage = fields(fields(holder).get("usage"))
    thinking = fields(usage.get("output_tokens_details")).get("thinking_tokens")
    keys = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    given, said, read, written = (_count(usage.get(key)) for key in keys)
    return Usage(given, said, read, written, _count(thinking), cost_in(usage))


def stop_of(holder: object) -> Stop:
    """The stop reason that a native message or `message_delta.delta` carries."""
    held = fields(holder)
    reason, sequence = held.get("stop_reason"), held.get("stop_sequence")
    told = cast("StopReason", reason if isinstance(reason, str) else "end_turn")  # newer reasons pass as they are
    return Stop(told, told, sequence if isinstance(sequence, str) else None, native=True)


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MOST else None
