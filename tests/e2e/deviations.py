"""How servers that call themselves compatible write their streams: a reply in, a misbehaving answer out."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from upstreams import Chat, Http, Raw
from upstreams.server import pieces

from .tool_loop import DONE as ANSWER
from .tool_loop import READING, THOUGHT, WRITING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from upstreams.server import Op

Chunk: TypeAlias = dict[str, Any]
Edit: TypeAlias = "Callable[[list[Chunk]], list[Chunk]]"

HEAD: Chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_790_000_000, "model": "m"}
DONE = b"data: [DONE]\n\n"
EVERY = (0, 1, 2)


@dataclass(frozen=True)
class Deviation:
    """One way to deviate.

    `edits` change the chunks of a good stream, `by_turn` are one edit more for each turn, and `write` puts them on the
    wire. Only in the turns `on` does the server deviate, and with `once` only when it is asked for the first time.
    `provider` is the row of the configuration that knows such a server.
    `requests` is how many it should take, and `usage` what each cost: input, from cache, and output. None where that
    is not told; the same goes for the texts and thoughts that the client is told.
    """

    edits: Sequence[Edit] = ()
    by_turn: Sequence[Edit] = ()
    write: Callable[[list[Chunk]], Http | Raw] | None = None
    on: Sequence[int] = EVERY
    once: bool = False
    requests: int | None = 3
    provider: str = "plain"
    interleave: bool = False
    same_ids: bool = True
    names: Sequence[str] = ("one", "two")
    ids: Callable[[int], str] = "call_{:024d}".format
    usage: tuple[int, int, int] | None = (100, 20, 34)
    texts: Sequence[str] | None = (READING, WRITING, ANSWER)
    thoughts: Sequence[str] | None = (THOUGHT,) * 3

    def answer(self, reply: Chat, turn: int) -> Http | Raw:
        """Write a reply this way."""
        chunks = chunks_of(replace(reply, interleave=self.interleave))
        for edit in (*self.edits, *self.by_turn[turn : turn + 1]):
            chunks = edit(chunks)
        return (self.write or stream)(chunks)


# -- good streams


def chunk(delta: Chunk, finish: str | None = None) -> Chunk:
    """Make one chunk."""
    return {**HEAD, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def chunks_of(reply: Chat) -> list[Chunk]:
    """Write a reply as OpenAI would."""
    out = [chunk(delta) for delta in reply.deltas()]
    return [*out, chunk({}, reply.finish_reason), {**HEAD, "choices": [], "usage": dict(reply.usage)}]


def data(one: Chunk) -> bytes:
    """Write one event."""
    return b"data: " + json.dumps(one, ensure_ascii=False).encode() + b"\n\n"


def sent(*parts: bytes, then: Sequence[Op] = (), kind: str = "text/event-stream") -> Raw:
    """Send these bytes, each in a write of its own."""
    return Raw([*(("raw", part) for part in parts), *then], headers={"content-type": kind})


def stream(chunks: Iterable[Chunk], end: bytes = DONE, then: Sequence[Op] = ()) -> Raw:
    """Send chunks as events."""
    return sent(*map(data, chunks), *([end] if end else ()), then=then)


# -- edits


def each(change: Callable[[Chunk], Chunk | None]) -> Edit:
    """Change every chunk; None leaves it out."""
    return lambda chunks: [new for old in chunks if (new := change(old)) is not None]


def deltas(change: Callable[[Chunk], Chunk]) -> Edit:
    """Change every delta."""

    def edit(one: Chunk) -> Chunk:
        for choice in one["choices"]:
            choice["delta"] = change(choice["delta"])
        return one

    return each(edit)


def parts(change: Callable[[Chunk], Chunk]) -> Edit:
    """Change every piece of a tool call."""
    return deltas(lambda d: d | {"tool_calls": list(map(change, d["tool_calls"]))} if "tool_calls" in d else d)


def finish(reason: str | None) -> Edit:
    """End with this reason."""

    def edit(one: Chunk) -> Chunk:
        for choice in one["choices"]:
            choice["finish_reason"] = reason if choice["finish_reason"] else None
        return one

    return each(edit)


def at_end(change: Callable[[Chunk, Chunk], Iterable[Chunk]]) -> Edit:
    """Replace the last two chunks, which hold the finish and the usage."""
    return lambda chunks: [*chunks[:-2], *change(chunks[-2], chunks[-1])]


def whole_calls(chunks: list[Chunk]) -> list[Chunk]:
    """Join the pieces of every call into one."""
    out: list[Chunk] = []
    calls: dict[int, Chunk] = {}
    for one in chunks:
        [part] = (one["choices"] and one["choices"][0]["delta"].get("tool_calls")) or [None]
        if part is None:
            out.append(one)
        elif part["index"] in calls:
            calls[part["index"]]["function"]["arguments"] += part["function"]["arguments"]
        else:
            calls[part["index"]] = part
            out.append(one)
    return out


def without(*names: str) -> Callable[[Chunk], Chunk]:
    """Leave keys out."""
    return lambda old: {key: value for key, value in old.items() if key not in names}


def function(change: Callable[[Chunk], Chunk]) -> Callable[[Chunk], Chunk]:
    """Change the function of a call's piece."""
    return lambda part: part | {"function": change(part["function"])}


def repeated(*names: str) -> Edit:
    """Say the id or the name of a call in each of its pieces."""
    known: dict[int, Chunk] = {}

    def change(part: Chunk) -> Chunk:
        if "id" in part:
            known[part["index"]] = {"id": part["id"], "name": part["function"]["name"]}
        first = known[part["index"]]
        part = part | ({"id": first["id"]} if "id" in names else {})
        return function(lambda f: f | ({"name": first["name"]} if "name" in names else {}))(part)

    return parts(change)


def split_names(chunks: list[Chunk]) -> list[Chunk]:
    """Say the name of a call in two pieces before its arguments."""
    out: list[Chunk] = []
    for one in chunks:
        [part] = (one["choices"] and one["choices"][0]["delta"].get("tool_calls")) or [{}]
        if "id" not in part:
            out.append(one)
            continue
        name = part["function"]["name"]
        out.append(chunk({"tool_calls": [{**part, "function": {"name": name[:2]}}]}))
        out.append(chunk({"tool_calls": [{"index": part["index"], "function": {"name": name[2:]}}]}))
    return out


def cumulative(chunks: list[Chunk]) -> list[Chunk]:
    """Count in every chunk what was said so far."""
    usage = chunks[-1]["usage"]
    few = {"prompt_tokens": usage["prompt_tokens"], "prompt_tokens_details": usage["prompt_tokens_details"]}
    for i, one in enumerate(chunks[:-1]):
        one["usage"] = few | {"completion_tokens": i, "total_tokens": usage["prompt_tokens"] + i}
    return chunks


def inserted(key: str, *new: Chunk) -> Edit:
    """Say more after the first delta that has this key."""

    def edit(chunks: list[Chunk]) -> list[Chunk]:
        at = next((i for i, one in enumerate(chunks[:-1]) if one["choices"][0]["delta"].get(key)), None)
        return chunks if at is None else [*chunks[: at + 1], *map(chunk, new), *chunks[at + 1 :]]

    return edit


def in_parts(delta: Chunk) -> Chunk:
    """Content as Mistral writes it: parts, thinking among them."""
    if thought := delta.pop("reasoning_content", None):
        return delta | {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": thought}]}]}
    return delta | ({"content": [{"type": "text", "text": delta["content"]}]} if delta.get("content") else {})


def in_tags(opener: str = "<think>", closer: str = "</think>", size: int = 3) -> Edit:
    """Reasoning as text between tags, in small pieces."""

    def edit(chunks: list[Chunk]) -> list[Chunk]:
        choices = [one["choices"][0]["delta"] for one in chunks if one["choices"]]
        thought = "".join(d.pop("reasoning_content", "") for d in choices)
        text = "".join(d.pop("content", None) or "" for d in choices)
        return [*(chunk({"content": piece}) for piece in pieces(f"{opener}{thought}{closer}{text}", size)), *chunks]

    return edit


def details(delta: Chunk) -> Chunk:
    """Reasoning as OpenRouter writes it, twice."""
    if thought := delta.pop("reasoning_content", None):
        detail = {"type": "reasoning.text", "text": thought, "format": "unknown", "index": 0}
        return delta | {"reasoning": thought, "reasoning_details": [detail]}
    return delta


# -- writers


def noisy(chunks: list[Chunk]) -> Raw:
    """Write events with everything around them that the standard allows."""
    out = [b"\xef\xbb\xbf: OPENROUTER PROCESSING\n\n", b"data:\n\n", b"retry: 10\n\n", b"\r\n"]
    for i, one in enumerate(chunks):
        event = b"event: completion.chunk\r\nid: %d\r\ndata:%b\r\n\r\n" % (i, json.dumps(one).encode())
        out += [event, b": OPENROUTER PROCESSING\r\n\r\n", b"data: \r\n\r\n", b":\n"]
    return sent(*out, b"data:[DONE]\r\n\r\n")


def bytewise(chunks: list[Chunk]) -> Raw:
    """Write every byte of what is not ASCII alone, and the rest as it comes."""
    body = b"".join(map(data, chunks)) + DONE
    out, start = [], 0
    for at, byte in enumerate(body):
        if byte > 127:
            out += [body[start:at], body[at : at + 1]]
            start = at + 1
    return sent(*filter(None, [*out, body[start:]]))


def halved(chunks: list[Chunk]) -> Raw:
    """Write each half of a surrogate pair in a chunk of its own, as servers do that cut UTF-16."""
    out: list[Chunk] = []
    for one in chunks:
        delta = one["choices"][0]["delta"] if one["choices"] else {}
        key = next((key for key in ("content", "reasoning_content") if delta.get(key)), None)
        if key is None or delta[key].isascii():
            out.append(one)
        else:
            utf_16 = delta[key].encode("utf-16-le")
            units = [utf_16[i : i + 2].decode("utf-16-le", "surrogatepass") for i in range(0, len(utf_16), 2)]
            out += [chunk({key: unit}) for unit in units]
    return sent(*(b"data: " + json.dumps(one).encode() + b"\n\n" for one in out), DONE)


def whole(chunks: list[Chunk]) -> Http:
    """Answer a stream's request with one JSON body."""
    message: Chunk = {"role": "assistant", "content": ""}
    for one in whole_calls(chunks)[:-2]:
        delta = one["choices"][0]["delta"]
        message["content"] += delta.get("content") or ""
        message["reasoning_content"] = message.get("reasoning_content", "") + delta.get("reasoning_content", "")
        message.setdefault("tool_calls", []).extend(delta.get("tool_calls", []))
    reason = chunks[-2]["choices"][0]["finish_reason"]
    choice = {"index": 0, "message": message, "finish_reason": reason}
    return Http(200, {**HEAD, "object": "chat.completion", "choices": [choice], "usage": chunks[-1]["usage"]})


def cut(writes: Callable[[int], int], *then: bytes, end: Op | None = None) -> Callable[[list[Chunk]], Raw]:
    """Write the first events only; how many is said of how many there are."""
    ops = [end] if end else []
    return lambda chunks: sent(*map(data, chunks[: writes(len(chunks))]), *then, then=ops)
