"""A conversation in Anthropic's shape into Gemini's contents.

Users and model take turns, the user first. Every call of a turn has its response in the content right after it, in
the order of the calls; what else the user said follows there. The output for a prefix of the conversation is a
prefix of the output, so that Google's caches are found again.
"""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from claude_code_proxy.dialects.conversation import (
    NO_RESULT,
    SERVER_BLOCKS,
    as_text,
    blocks_of,
    results_of,
    system_text,
    text_in,
    words_of,
)
from claude_code_proxy.dialects.gemini import signatures
from claude_code_proxy.dialects.gemini.media import IN_RESULTS, document, image, text_part
from claude_code_proxy.dialects.names import upstream_id, upstream_name
from claude_code_proxy.wire.json_text import fields

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from claude_code_proxy.dialects.gemini.signatures import Note, Part
    from claude_code_proxy.wire.messages import Content, Message

_CONTINUE: Final = "Continue."


class Rules(Struct, frozen=True):
    """What the model and its place want of a conversation.

    `place` is whose signatures are sent back (`signatures.place_of`). `signed_calls` and `media_in_results` are the
    model's (models.toml), `call_ids` is the place's (`quirks.Quirks`).
    """

    model: str
    place: str
    signed_calls: bool = False
    media_in_results: bool = False
    call_ids: bool = True


class _Wanted(Struct, frozen=True):
    """A call that wants its response: the id that the client gives it, the one that is sent, its name."""

    ident: str
    sent: str
    name: str


class _Text(Struct):
    """The last text of a turn: at which of the parts it begins, what it says, its notes, how many parts it makes."""

    at: int
    said: str
    notes: list[Note]
    parts: int


def contents_of(conversation: Sequence[Message], rules: Rules) -> list[dict[str, Any]]:
    """The contents to send."""
    out: list[dict[str, Any]] = []
    calls: list[_Wanted] = []  # the calls that still want their responses
    seen: Counter[str] = Counter()
    for assistant, run in groupby(conversation, key=lambda message: message["role"] == "assistant"):
        turns = list(run)
        if assistant:
            parts, calls = _said(turns, rules, seen)
            _add(out, "model", parts)
        else:
            _add(out, "user", [*_responses(turns, calls, rules), *_told(turns, calls)])
            calls = []
    _add(out, "user", [_response(call, None, rules) for call in calls])
    if not out or out[-1]["role"] == "model":
        _add(out, "user", [text_part(_CONTINUE)])
    return out


def _add(contents: list[dict[str, Any]], role: str, parts: list[Part]) -> None:
    """One more content; parts of the role that spoke last are added to what it said."""
    if not parts:
        return
    if not contents and role == "model":
        contents.append({"role": "user", "parts": [text_part(_CONTINUE)]})
    if contents and contents[-1]["role"] == role:
        contents[-1]["parts"] += parts
    else:
        contents.append({"role": role, "parts": parts})


# -- what the model said


def _said(turns: Sequence[Message], rules: Rules, seen: Counter[str]) -> tuple[list[Part], list[_Wanted]]:
    """A turn of the model's as parts, and its calls. `seen` counts the ids so far: one that comes again is changed."""
    parts: list[Part] = []
    calls: list[_Wanted] = []
    for message in turns:
        blocks = list(blocks_of(message["content"]))
        notes = {n: signatures.notes_in(block, rules.model, rules.place) for n, block in enumerate(blocks)}
        signed = signatures.call_signatures([note for some in notes.values() for note in some])
        due: list[Note] = []
        text = _Text(0, "", [], 0)
        for n, block in enumerate(blocks):
            match block.get("type"):
                case "thinking":
                    if late := signatures.behind(notes[n]):
                        text.notes += late
                        made = signatures.divided(text.said, text.notes)
                        parts[text.at : text.at + text.parts] = made
                        text.parts = len(made)
                    parts += [*signatures.thoughts(block, notes[n]), *signatures.here(notes[n])]
                    due += signatures.ahead(notes[n])
                case "text" if block["text"]:
                    made = signatures.divided(block["text"], due)
                    text, due = _Text(len(parts), block["text"], due, len(made)), []
                    parts += made
                case "tool_use":
                    calls.append(_wanted(block, seen))
                    parts.append(_call(calls[-1], block, signed.get(block["id"]), rules))
                case kind if kind in SERVER_BLOCKS:
                    parts.append(text_part(as_text(block)))
        parts += signatures.divided("", due)
    return _stood_in(parts) if rules.signed_calls else parts, calls


def _wanted(block: Content, seen: Counter[str]) -> _Wanted:
    ident = block["id"]
    seen[ident] += 1
    again = f"{ident}_{seen[ident]}" if seen[ident] > 1 else ident
    return _Wanted(ident, upstream_id(again, "any"), upstream_name(block["name"], word=True))


def _call(call: _Wanted, block: Content, signed: str | None, rules: Rules) -> Part:
    held = block.get("input") or {}
    args = held if isinstance(held, dict) else {"arguments": held}
    made: Part = {"functionCall": {**_id(call, rules), "name": call.name, "args": args}}
    return {**made, "thoughtSignature": signed} if signed else made


def _id(call: _Wanted, rules: Rules) -> dict[str, str]:
    return {"id": call.sent} if rules.call_ids and call.sent else {}


def _stood_in(parts: list[Part]) -> list[Part]:
    """The parts with the stand-in on the first call, if it has no signature of its own.

    Google looks at the running turn only. All turns get it, so that a prefix of the conversation stays the same.
    """
    first = next((n for n, part in enumerate(parts) if "functionCall" in part), None)
    if first is None or "thoughtSignature" in parts[first]:
        return parts
    return [*parts[:first], {**parts[first], "thoughtSignature": signatures.STAND_IN}, *parts[first + 1 :]]


# -- what it was told


def _responses(turns: Sequence[Message], calls: Sequence[_Wanted], rules: Rules) -> Iterator[Part]:
    """A response for every call, in the calls' order, then the media that may not stand in them."""
    later: list[Part] = []
    for call, result in zip(calls, results_of(turns, [call.ident for call in calls]), strict=True):
        response = _response(call, result, rules)
        media = _media(result) if result else []
        inside = [part for part in media if rules.media_in_results and _may_stand_inside(part)]
        if inside:
            response["functionResponse"]["parts"] = inside
        later += [part for part in media if part not in inside]
        yield response
    yield from later


def _response(call: _Wanted, result: Content | None, rules: Rules) -> Part:
    if result is None:
        told = {"error": NO_RESULT}
    else:
        told = {"error" if result.get("is_error") else "output": words_of(result)}
    return {"functionResponse": {**_id(call, rules), "name": call.name, "response": told}}


def _may_stand_inside(part: Part) -> bool:
    return fields(part.get("inlineData")).get("mimeType") in IN_RESULTS


def _media(block: Content) -> list[Part]:
    """The images and documents of a tool result."""
    inner = [one for one in blocks_of(block.get("content")) if one.get("type") in {"image", "document"}]
    return [part for one in inner for part in _user_parts(one)]


def _told(turns: Sequence[Message], calls: Sequence[_Wanted]) -> Iterator[Part]:
    """What a run of user and system messages says beside the results of these calls."""
    known = {call.ident for call in calls}
    for message in turns:
        if message["role"] == "system":
            if text := system_text(message["content"]):
                yield text_part(f"<system-reminder>\n{text}\n</system-reminder>")
            continue
        for block in blocks_of(message["content"]):
            if block.get("type") != "tool_result" or block["tool_use_id"] not in known:
                yield from _user_parts(block)


def _user_parts(block: Content) -> list[Part]:
    match block.get("type"):
        case "text":
            return [text_part(text)] if (text := text_in(block)) else []
        case "image":
            return [image(block)]
        case "document":
            return document(block, _user_parts)
        case "tool_result":  # its call is not in the conversation any more
            said = words_of(block)
            return [text_part(f"Error: {said}" if block.get("is_error") else said), *_media(block)]
        case _:
            return [text_part(as_text(block))]
