"""Secrets in bytes: where they stand, and the bytes without them. What is not known to be one looks like one.

Only literal texts, and long rows of letters and digits, are searched for in all of the bytes, which is quick and lets
other threads run in between; a pattern is tried where there is one.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

MASK: Final = b"[masked]"

SHORTEST: Final = 8
"""Characters of a secret; shorter ones are words like `any` or `ollama`, which nobody could read a text without."""

_TAIL: Final = 6
"""Characters of a secret's beginning that are masked where the bytes end in the middle of it."""

_ALONE: Final = rb"(?:(?<![A-Za-z0-9])|(?<=\\[nrtbf])|(?<=\\u[0-9a-fA-F]{4}))"
"""Before it no letter or digit, unless that belongs to an escape of JSON."""

_LINE: Final = rb"(?:[A-Za-z0-9+/=\s:,|>-]|\\+[nrt]|\xe2\x86\x92)"
"""What a private key is written with, also in JSON, or with the numbers of its lines before them."""


_RUN: Final = 20
"""Letters, digits, `_` and `-` in a row that a key has at least; words are rarely as long."""

_KEYS: Final = re.compile(
    _ALONE
    + rb"(?:sk-[A-Za-z0-9_-]{17,}|sk_(?:live|test)_[A-Za-z0-9]{16,}|AIza[A-Za-z0-9_-]{30,}|gh[pousr]_[A-Za-z0-9]{20,}"
    + rb"|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}|A[KS]IA[A-Z0-9]{16}|xox[abprs]-[A-Za-z0-9-]{15,}"
    + rb"|hf_[A-Za-z0-9]{20,}|nvapi-[A-Za-z0-9_-]{20,}|gsk_[A-Za-z0-9]{20,}|xai-[A-Za-z0-9]{20,})"
)
"""Keys that are such a row."""

_FORMS: Final = (
    (b"ya29.", re.compile(_ALONE + rb"ya29\.[A-Za-z0-9_.-]{16,}")),
    (b"eyJ", re.compile(_ALONE + rb"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?")),
    (b"earer ", re.compile(rb"earer (?P<secret>[A-Za-z0-9._~+/=-]{16,})")),
    (
        b"-----BEGIN ",
        re.compile(
            rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
            rb"(?:%b{0,20000}?-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|%b{0,20000})" % (_LINE, _LINE)
        ),
    ),
)
"""What other secrets begin with, and the pattern of all of it."""

_IN_A_ROW: Final = bytes(
    ord("a") if chr(code).isascii() and (chr(code).isalnum() or chr(code) in "_-") else 32 for code in range(256)
)
_LEAST: Final = b"a" * _RUN


def written(secrets: Iterable[str]) -> tuple[bytes, ...]:
    """The ways in which secrets may be written in a body or an address, those that are long enough to be ones."""
    forms: dict[bytes, None] = {}
    for secret in secrets:
        if len(secret) >= SHORTEST:
            once = {json.dumps(secret, ensure_ascii=plain)[1:-1] for plain in (True, False)}
            twice = {json.dumps(form)[1:-1] for form in once}  # as in the arguments of a tool
            for form in (secret, *once, *twice, quote(secret)):
                forms[form.encode("utf-8", "surrogateescape")] = None
    return tuple(sorted(forms, key=len, reverse=True))


def spans(data: bytes, secrets: Iterable[bytes] = ()) -> list[tuple[int, int]]:
    """Where secrets stand, in order and without overlaps: these ones, and whatever has the form of one."""
    found = [*_known(data, secrets), *_formed(data)]
    found.sort()
    apart: list[tuple[int, int]] = []
    for start, end in found:
        if apart and start <= apart[-1][1]:
            apart[-1] = (apart[-1][0], max(end, apart[-1][1]))
        else:
            apart.append((start, end))
    return apart


def _known(data: bytes, secrets: Iterable[bytes]) -> Iterator[tuple[int, int]]:
    for secret in secrets:
        at = data.find(secret)
        while at >= 0:
            yield at, at + len(secret)
            at = data.find(secret, at + len(secret))
        end = data[-len(secret) + 1 :]
        cut = next((n for n in range(len(end), _TAIL - 1, -1) if secret.startswith(end[-n:])), 0)
        if cut:
            yield len(data) - cut, len(data)


def _formed(data: bytes) -> Iterator[tuple[int, int]]:
    rows = data.translate(_IN_A_ROW)
    at = rows.find(_LEAST)
    while at >= 0:
        end = rows.find(b" ", at)
        end = len(rows) if end < 0 else end
        yield from (match.span() for match in _KEYS.finditer(data, at, end))
        at = rows.find(_LEAST, end)
    for literal, pattern in _FORMS:
        at = data.find(literal)
        while at >= 0:
            match = pattern.match(data, at)
            if match:
                yield match.span("secret" if pattern.groups else 0)
            at = data.find(literal, max(at + 1, match.end() if match else 0))


def masked(data: bytes, secrets: Iterable[bytes] = ()) -> bytes:
    """The bytes with a mask in the place of each secret."""
    return masked_pieces(data, (len(data),), secrets)[0]


def masked_pieces(data: bytes, lengths: Sequence[int], secrets: Iterable[bytes] = ()) -> tuple[bytes, Sequence[int]]:
    """The same of bytes that came in pieces, and the pieces' new lengths. A mask stands where its secret began."""
    return edited(data, lengths, [(start, end, MASK) for start, end in spans(data, secrets)])


def edited(data: bytes, lengths: Sequence[int], edits: Sequence[tuple[int, int, bytes]]) -> tuple[bytes, Sequence[int]]:
    """Bytes that came in pieces, and the pieces' lengths, with other bytes in these places.

    The places stand in order and do not overlap. What is put in one that several pieces share belongs to the first.
    """
    if not edits:
        return data, lengths
    out: list[bytes] = []
    sizes: list[int] = []
    at = end = n = 0
    for length in lengths:
        end += length
        before = len(out)
        while n < len(edits) and edits[n][0] < end:
            start, stop, put = edits[n]
            if start >= at:
                out += (data[at:start], put)
            at = max(at, min(stop, end))
            if stop > end:
                break
            n += 1
        out.append(data[at:end])
        at = max(at, end)
        sizes.append(sum(map(len, out[before:])))
    return b"".join(out), sizes


_TOLD: Final = frozenset(
    {
        *("accept", "accept-encoding", "accept-language", "connection", "content-encoding", "content-length"),
        *("content-type", "date", "request-id", "retry-after", "server", "transfer-encoding", "user-agent", "via"),
        *("x-amzn-requestid", "x-app", "x-request-id", "x-should-retry", "cf-ray"),
        *("anthropic-beta", "anthropic-version", "anthropic-dangerous-direct-browser-access", "anthropic-workspace"),
    }
)
_TOLD_BEGINNINGS: Final = (
    *("x-stainless-", "x-claude-", "x-ratelimit-", "anthropic-ratelimit-", "x-amzn-bedrock-", "openai-processing"),
    "openai-version",
)


_TOLD_QUERY: Final = frozenset({"alt", "beta", "api-version"})


def query(text: str) -> str:
    """A query with the values of those fields only that are known to hold no secret."""
    fields = parse_qsl(text, keep_blank_values=True)
    return "&".join(f"{name}={value if name in _TOLD_QUERY else MASK.decode()}" for name, value in fields)


def address(url: str) -> str:
    """An address the same way."""
    place, mark, asked = url.partition("?")
    return place + mark + query(asked)


def told(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers with the values of those only that are known to hold no secret."""
    return {
        name: value if name.lower() in _TOLD or name.lower().startswith(_TOLD_BEGINNINGS) else MASK.decode()
        for name, value in headers.items()
    }
