"""A captured request for people: what the client asked, what was sent upstream, and the answer, block by block. Pure.

Nothing here is marked up: all of it is text of clients and models, and whoever shows it must escape it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson
from msgspec import Struct, field

from claude_code_proxy.ledger.blocks import blocks
from claude_code_proxy.ledger.capture import Kept, opened_parts
from claude_code_proxy.ledger.masking import masked
from claude_code_proxy.ledger.said import said

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from claude_code_proxy.ledger.xray import Sight

LONGEST: Final = 4000
"""Characters of a block that are shown unless more are asked for."""

_TITLES: Final = {"request": "The client's request", "outgoing": "Sent upstream"}


class Row(Struct, frozen=True):
    """A block: where it stands, whose it is, and what it says. `tokens` are an estimate, None where none is made.

    `marked`: a cache may keep the prompt up to here. `text` is cut to what was asked for; `cut`: characters left out.
    """

    path: str
    role: str
    kind: str
    size: int
    tokens: int | None
    text: str
    cut: int = 0
    marked: bool = False


class Section(Struct, frozen=True):
    """What belongs together: a title, a few facts with their names, and blocks."""

    title: str
    facts: list[tuple[str, str]] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)


def sections(parts: Mapping[str, bytes], longest: int = LONGEST) -> list[Section]:
    """The sections of a captured request, whose parts are as `Reader.captured` gives them; none of one that was not.

    Raises `ValueError` for damaged parts.
    """
    held = opened_parts(parts)
    return [
        *(_asked(name, held, longest) for name in _TITLES if name in held),
        *(_heard(name, held[name], longest) for name in sorted(held) if name.startswith("failed-")),
        *([_heard("incoming", held["incoming"], longest)] if "incoming" in held else []),
        *([_answer(held["answer"], longest)] if "answer" in held else []),
    ]


def xray_section(sight: Sight) -> Section:
    """A cache X-ray: what became of the prompt of the turn before, with both sides of the first difference."""
    facts = [
        ("tokens of the turn before", str(sight.before)),
        ("the same at the beginning", str(sight.same)),
        ("read from cache", "not told" if sight.read is None else str(sight.read)),
        ("could have been read, and were not", "not known" if sight.lost is None else str(sight.lost)),
        ("what that cost, in US dollars", "not known" if sight.cost is None else f"{sight.cost:.4f}"),
    ]
    if sight.settings:
        facts.append(("settings that differ", ", ".join(sight.settings)))
    rows: list[Row] = []
    if first := sight.first:
        facts.append(("first difference", f"{first.path} was {first.kind}, {first.at} characters into it"))
        sides = {"before": first.before, "after": first.after}
        rows = [
            Row(first.path, side, first.block, len(text.encode("utf-8", "surrogatepass")), None, *_shown(text, LONGEST))
            for side, text in sides.items()
        ]
    return Section(f"Cache X-ray: {_WHOSE.get(sight.whose, sight.whose)}", facts, rows)


_WHOSE: Final = {"client": "what the client sent", "upstream": "what the upstream was sent"}


def _asked(name: str, held: Mapping[str, Kept], longest: int) -> Section:
    kept = held[name]
    facts = [("bytes", str(kept.about.get("size", len(kept.data)))), *_cut(kept)]
    if name == "outgoing" and (asked := held.get("asked")):
        about = orjson.loads(asked.data)
        facts += [(word, str(about.get(word, ""))) for word in ("method", "url", "dialect")]
        facts += [(f"header {word}", value) for word, value in about.get("headers", {}).items()]
        facts += [(f"version of {word}", value) for word, value in about.get("versions", {}).items()]
    found = blocks(kept.data)
    rows = [
        Row(
            *(block.path, block.role, block.kind, block.size, block.tokens),
            *_shown(block.text, longest),
            marked=block.marked,
        )
        for block in found
    ]
    tokens = sum(block.tokens for block in found if block.place != "settings")
    facts.append(("tokens, estimated", str(tokens)))
    return Section(_TITLES[name], facts, rows or _as_it_is(kept, longest))


def _heard(name: str, kept: Kept, longest: int) -> Section:
    """What an upstream answered, as it came."""
    attempt = name.rpartition("-")[2]
    title = "The upstream's answer" if name == "incoming" else f"What attempt {attempt} was answered"
    about = kept.about
    facts = [("status", str(about["status"]))] if "status" in about else []
    facts += [(f"header {word}", value) for word, value in about.get("headers", {}).items()]
    facts += [("pieces", str(len(kept.pieces))), ("bytes", str(about.get("size", len(kept.data)))), *_cut(kept)]
    if broke := about.get("broke"):
        facts.append(("broke off", f"{broke.get('type')}: {broke.get('message')}"))
    return Section(title, facts, _as_it_is(kept, longest))


def _answer(kept: Kept, longest: int) -> Section:
    told = said(kept.data)
    usage = told.usage
    counts = {
        "input tokens": usage.input,
        "read from cache": usage.cache_read,
        "written to cache": usage.cache_write,
        "output tokens": usage.output,
        "of them thinking": usage.thinking,
    }
    facts = [("status", str(kept.about.get("status", ""))), ("model", told.model), ("stop", told.stop)]
    facts += [(name, str(count)) for name, count in counts.items() if count is not None]
    facts += [("error", told.error), *_cut(kept)]
    rows = [
        Row(
            *(str(number), "assistant", f"{block.kind} {block.name}".strip(), block.size, None),
            *_shown(block.text, longest),
        )
        for number, block in enumerate(told.blocks)
    ]
    if not rows and not told.error and kept.data:
        rows = _as_it_is(kept, longest)
    return Section("The answer", [fact for fact in facts if fact[1]], rows)


def _cut(kept: Kept) -> Iterator[tuple[str, str]]:
    if kept.about.get("cut"):
        yield "kept of it", f"{len(kept.data)} bytes"


def _as_it_is(kept: Kept, longest: int) -> list[Row]:
    text = kept.data.decode("utf-8", "replace")
    return [Row("", "", "", len(kept.data), None, *_shown(text, longest))] if text else []


def _shown(text: str, longest: int) -> tuple[str, int]:
    """The beginning of a text, and how many characters are left out.

    A secret that several events told in pieces is whole here, and masked.
    """
    text = masked(text.encode("utf-8", "surrogatepass")).decode("utf-8", "replace")
    return text[:longest], max(0, len(text) - longest)
