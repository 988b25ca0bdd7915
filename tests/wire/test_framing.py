from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_code_proxy.wire.framing import SSE, Lines, Whole
from machines import cut, cuts, fed, items_every_way, sized

STREAMS: list[tuple[str, bytes, list[bytes]]] = [
    ("nothing", b"", []),
    ("one event", b"data: a\n\n", [b"a"]),
    ("CRLF", b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
    ("CR", b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
    ("line ends mixed", b"data: a\r\n\ndata: b\n\r\ndata: c\r\r\n", [b"a", b"b", b"c"]),
    ("no space after the colon", b"data:a\n\n", [b"a"]),
    ("only the first space is no data", b"data:  a \n\n", [b" a "]),
    ("many data lines", b"data: a\ndata:\ndata: b\n\n", [b"a\n\nb"]),
    ("names, ids and retry times", b"event: x\nid: 1\nretry: 2\ndata: a\n\n", [b"a"]),
    ("the name after the data", b"data: a\nevent: x\n\n", [b"a"]),
    ("comments", b": hello\n\n:\ndata: a\n: between\ndata: b\n\n", [b"a\nb"]),
    ("an event without data", b"event: ping\n\ndata: a\n\n", [b"a"]),
    ("an event whose data is empty", b"data:\n\ndata: \n\ndata: a\n\n", [b"a"]),
    ("a field that only begins like data", b"database: a\ndat: b\ndata: c\n\n", [b"c"]),
    ("blank lines", b"\n\n\ndata: a\n\n\n\ndata: b\n\n", [b"a", b"b"]),
    ("a byte order mark", b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
    ("a byte order mark later on is data", b"data: \xef\xbb\xbf\n\n", [b"\xef\xbb\xbf"]),
    ("an event that the end cuts off", b"data: a\n\ndata: b", [b"a", b"b"]),
    ("one without its blank line", b"data: a\n", [b"a"]),
    ("a lone CR at the end", b"data: a\n\r", [b"a"]),
    (
        "characters that are no line ends here",
        "data: a\u2028b\u2029c\u0085d\x0b\x0c\x1c\n\n".encode(),
        ["a\u2028b\u2029c\u0085d\x0b\x0c\x1c".encode()],
    ),
    (
        "JSON between the events is the last",
        b'data: a\n\n{\n  "error": 1\n}\n\ndata: b\n\n',
        [b"a", b"b", b'{\n  "error": 1\n}'],
    ),
    ("JSON alone", b'[{\r\n\t"a": 1\r\n}\r\n]', [b'[{\n\t"a": 1\n}\n]']),
    ("half of it is nothing", b'data: a\n\n{\n  "error":\n', [b"a"]),
    ("neither is a page", b"<html>\n  <p>a</p>\n</html>\n", []),
    ("nor a text, nor very much", b'"a"\n\ndata: a\n\n', [b"a"]),
    ("half a character", b"data: \xe2\x82\n\n", [b"\xe2\x82"]),
]


@pytest.mark.parametrize(("stream", "payloads"), [row[1:] for row in STREAMS], ids=[row[0] for row in STREAMS])
def test_the_data_of_server_sent_events(stream: bytes, payloads: list[bytes]) -> None:
    assert items_every_way(SSE, stream) == payloads


_lines = st.binary(max_size=8).map(lambda line: line.replace(b"\r", b"").replace(b"\n", b""))
_events = st.lists(st.lists(_lines, min_size=1, max_size=3).filter(any), max_size=5)


@given(_events, st.sampled_from([b"\n", b"\r", b"\r\n"]), cuts(200))
@pytest.mark.fault("F-01", "U-15")
def test_events_come_out_as_they_went_in_wherever_they_are_cut(
    events: list[list[bytes]], end: bytes, at: list[int]
) -> None:
    stream = b"".join(b"".join(b"data: " + line + end for line in lines) + end for lines in events)
    assert fed(SSE(), cut(stream, at)) == [b"\n".join(lines) for lines in events]


@given(st.lists(st.sampled_from([b"\r", b"\n", b"data", b":", b" ", b"x", b"\xef\xbb\xbf"]), max_size=30).map(b"".join))
@pytest.mark.fault("F-01")
def test_cuts_do_not_matter_for_any_bytes(stream: bytes) -> None:
    assert all(isinstance(payload, bytes) for payload in items_every_way(SSE, stream))


def test_an_event_is_given_with_the_bytes_that_end_it() -> None:
    for end in (b"\n", b"\r\n"):
        sse = SSE()
        assert list(sse.feed(b"data: a" + end)) == []
        assert list(sse.feed(end)) == [b"a"]


@pytest.mark.parametrize("framing", [SSE, Lines])
@pytest.mark.fault("U-10")
def test_a_very_long_line_in_small_pieces(framing: type[SSE | Lines]) -> None:
    line = b"x" * (1 << 20)
    prefix, end = (b"data: ", b"\n\n") if framing is SSE else (b"", b"\n")
    assert fed(framing(), sized(prefix + line + end, 64)) == [line]


LINES: list[tuple[bytes, list[bytes]]] = [
    (b"", []),
    (b"a\nb\n", [b"a", b"b"]),
    (b"a\nb", [b"a", b"b"]),
    (b"\n \na\n\n", [b"a"]),
    (b"  \t", []),
    ("a\u2028b\u0085c\n".encode(), ["a\u2028b\u0085c".encode()]),
]


@pytest.mark.parametrize(("body", "payloads"), LINES)
def test_one_document_a_line(body: bytes, payloads: list[bytes]) -> None:
    assert items_every_way(Lines, body) == payloads


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_document_a_line_whatever_ends_the_line(end: bytes) -> None:
    assert [line.strip() for line in items_every_way(Lines, b"a" + end + b"b" + end)] == [b"a", b"b"]


@given(st.binary())
def test_a_whole_body_is_one_payload(body: bytes) -> None:
    assert items_every_way(Whole, body) == [body]
