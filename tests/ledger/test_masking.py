"""What is a secret, wherever it stands and however it came."""

from __future__ import annotations

import json
from base64 import b64encode

import pytest

from canaries import canary, told
from claude_code_proxy.ledger.capture import Part, opened
from claude_code_proxy.ledger.masking import MASK, SHORTEST, address, masked, masked_pieces, written
from claude_code_proxy.ledger.masking import told as headers_told
from claude_code_proxy.ledger.scattered import gathered
from machines import sized, ways

KEY = canary("a key without a form")
PEM = "-----BEGIN RSA PRIVATE KEY-----\n" + "\n".join([canary(str(n)) * 2 for n in range(20)])
END = "\n-----END RSA PRIVATE KEY-----"

FORMED = {
    "OpenAI": f"sk-proj-{KEY}",
    "Anthropic": f"sk-ant-api03-{KEY}",
    "Google": f"AIza{KEY}abc",
    "GitHub": f"ghp_{KEY}",
    "GitHub, fine": f"github_pat_{KEY}",
    "AWS": "AKIA" + KEY[:16].upper(),
    "Slack": f"xoxb-{KEY}",
    "NVIDIA": f"nvapi-{KEY}",
    "a token of Google's": f"ya29.{KEY}",
    "a JWT": f"eyJ{KEY}.{KEY}.{KEY}",
    "a private key": PEM + END,
    "a private key without its end": PEM,
}


@pytest.mark.parametrize("name", FORMED)
@pytest.mark.parametrize("before", ["", " ", "\n", '"', "KEY=", "\t", "export X='", "ключ:\n"])
def test_what_looks_like_one(name: str, before: str) -> None:
    text = json.dumps({"content": f"{before}{FORMED[name]}"})
    twice = json.dumps({"arguments": text})
    plain = f"{before}{FORMED[name]}"
    for one in (text, twice, plain):
        out = masked(one.encode()).decode()
        assert MASK.decode() in out
        assert told(out, [FORMED[name].removeprefix("-----BEGIN RSA PRIVATE KEY-----")[8:]]) == []
    assert json.loads(masked(text.encode()))
    assert json.loads(json.loads(masked(twice.encode()))["arguments"])


def test_a_private_key_with_the_numbers_of_its_lines() -> None:
    lines = (PEM + END).splitlines()
    for form in ("{n:6}\u2192{line}", "{n:6}\t{line}", "{n}: {line}", "> {line}"):
        text = "\n".join(form.format(n=n, line=line) for n, line in enumerate(lines, 1))
        out = masked(json.dumps({"content": text}, ensure_ascii=False).encode())
        assert told(out.decode(), lines[1:-1]) == []


def test_a_bearer_token() -> None:
    assert masked(f'curl -H "Authorization: Bearer {KEY}" x'.encode()) == b'curl -H "Authorization: Bearer [masked]" x'


@pytest.mark.parametrize(
    "text",
    [
        "task-list-for-the-new-developers-of-it",
        "disk-usage-of-all-the-folders-here",
        "a bearer of good news is welcome",
        "AKIA is a prefix, sk- too, ghp_ as well",
        "-----BEGIN CERTIFICATE-----",
        '{"type":"text","text":"eyJ"}',
    ],
)
def test_what_is_none(text: str) -> None:
    assert masked(text.encode()).decode() == text


@pytest.mark.parametrize("key", [KEY, f'{KEY}"\\/', f"{KEY} é", f"{KEY}+/="])
def test_a_known_one_however_it_is_written(key: str) -> None:
    known = written([key, "any", ""])
    for text in (key, json.dumps(key), json.dumps({"a": json.dumps(key)}, ensure_ascii=False)):
        assert told(masked(f"x {text} y".encode(), known).decode(), [KEY]) == []
    assert told(masked(f"https://x.test/?key={address_of(key)}".encode(), known).decode(), [KEY]) == []


def address_of(key: str) -> str:
    from urllib.parse import quote  # noqa: PLC0415

    return quote(key)


def test_what_is_too_short_to_be_one_stays() -> None:
    assert written(["ollama", "any", "x" * (SHORTEST - 1)]) == ()


@pytest.mark.parametrize("size", [1, 2, 5, 7, 31, 1000])
def test_pieces_keep_what_is_between_them(size: int) -> None:
    data = f"before {KEY} between {KEY}{KEY} and after".encode()
    pieces = sized(data, size)
    out, lengths = masked_pieces(data, [len(piece) for piece in pieces], written([KEY]))
    assert out == masked(data, written([KEY]))
    assert sum(lengths) == len(out)
    assert len(lengths) == len(pieces)


@pytest.mark.parametrize("end", range(6, len(KEY)))
def test_one_that_is_cut_at_the_end(end: int) -> None:
    assert told(masked(f"the key {KEY[:end]}".encode(), written([KEY])).decode(), [KEY]) == []


def deltas(text: str, size: int, event: str) -> list[bytes]:
    return [
        f"data: {event}\n\n".replace("@", json.dumps(piece.decode("latin-1"))[1:-1]).encode()
        for piece in sized(text.encode("latin-1"), size)
    ]


EVENTS = {
    "anthropic": '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"@"}}',
    "arguments": '{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"@"}}',
    "chat": '{"choices":[{"index":0,"delta":{"content":"@"}}]}',
    "chat's calls": '{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"@"}}]}}]}',
    "responses": '{"type":"response.output_text.delta","delta":"@"}',
    "gemini": '{"candidates":[{"content":{"parts":[{"text":"@"}]}}]}',
}


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("size", [1, 3, 4, 5, 20, 50])
@pytest.mark.parametrize("known", [True, False])
def test_one_that_a_model_says_word_by_word(event: str, size: int, known: bool) -> None:  # noqa: FBT001
    key = KEY if known else f"sk-proj-{KEY}"
    pieces = deltas(f"the key is {key} and that is it", size, EVENTS[event])
    secrets = written([KEY]) if known else ()
    data, lengths = gathered(b"".join(pieces), [len(piece) for piece in pieces], secrets)
    assert sum(lengths) == len(data)
    assert len(lengths) == len(pieces)
    said = "".join(
        json.loads(
            line.removeprefix(b"data: ").replace(EVENTS[event].split("@")[0].encode(), b'{"said":"').split(b'"}')[0]
            + b'"}'
        )["said"]
        for line in data.splitlines()
        if line
    )
    assert said == "the key is [masked] and that is it"


def test_frames_with_a_secret_are_not_kept() -> None:
    held = b64encode(f'{{"text":"{KEY}"}}'.encode()).decode()
    data = f'\0\0junk{{"bytes":"{held}"}}crc'.encode()
    assert gathered(data, [len(data)], written([KEY])) == (b"", [0])
    assert gathered(data, [len(data)], ()) == (data, [len(data)])


def test_a_part_is_the_same_however_it_came() -> None:
    data = f"a{KEY}b".encode() * 3
    for pieces in ways(data):
        from array import array  # noqa: PLC0415

        lengths = array("I", [len(piece) for piece in pieces])
        kept = opened(Part(data, len(data), {}, written([KEY]), lengths).sealed())
        assert kept.data == b"a[masked]b" * 3
        assert b"".join(kept.pieces) == kept.data


@pytest.mark.parametrize("at", range(-40, 9))
def test_none_is_cut_where_the_part_is(at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("claude_code_proxy.ledger.capture.LARGEST", 1000)
    data = b"." * (1000 + at) + KEY.encode() + b"." * 100
    kept = opened(Part(data, len(data), {}, written([KEY])).sealed())
    assert told(kept.data.decode(), [KEY]) == []
    assert kept.about == {"cut": True, "size": len(data)}
    assert len(kept.data) == 1000


def test_headers_and_addresses_tell_what_is_known_to_be_open() -> None:
    given = {"authorization": "Bearer x", "X-Own": KEY, "content-type": "text/plain", "anthropic-beta": "a,b"}
    assert headers_told(given) == {**given, "authorization": "[masked]", "X-Own": "[masked]"}
    assert address(f"https://x.test/a?alt=sse&key={KEY}") == "https://x.test/a?alt=sse&key=[masked]"
    assert address("https://x.test/a") == "https://x.test/a"
