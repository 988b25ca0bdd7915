"""Every way to deviate that the tests know, by name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from upstreams import Http

from .deviations import (
    DONE,
    HEAD,
    Deviation,
    at_end,
    bytewise,
    chunk,
    cumulative,
    cut,
    data,
    deltas,
    details,
    each,
    finish,
    function,
    halved,
    in_parts,
    in_tags,
    inserted,
    noisy,
    parts,
    repeated,
    sent,
    split_names,
    stream,
    whole,
    whole_calls,
    without,
)
from .tool_loop import DONE as ANSWER
from .tool_loop import READING, THOUGHT, WRITING

if TYPE_CHECKING:
    from collections.abc import Callable

    from .deviations import Edit

# A repeated request may say again what was said before it broke off.
AGAIN: dict[str, Any] = {"once": True, "requests": None, "usage": None, "texts": None, "thoughts": None}
BROKEN = b'data: {"error":{"message":"The model crashed.","type":"server_error","code":500}}\n\n'
NO_COUNT = at_end(lambda end, _: [end])
HTML = b"<!DOCTYPE html><html><body>It works!</body></html>"
HAIKU: dict[str, Any] = {"content": "\n\n"}


def half(count: int) -> int:
    return count // 2


def nulled(old: dict[str, Any]) -> dict[str, Any]:
    return {"content": None, "tool_calls": None, "function_call": None, "refusal": None, "role": "assistant"} | old


def as_object(old: dict[str, Any]) -> dict[str, Any]:
    return old | {"arguments": json.loads(old["arguments"])}


def legacy(chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Say a call as OpenAI did before 2023's end."""
    for one in chunks:
        delta = one["choices"][0]["delta"] if one["choices"] else {}
        for part in delta.pop("tool_calls", []):
            delta["function_call"] = part["function"]
    return chunks


def renamed(old: str, new: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda said: {new if key == old else key: value for key, value in said.items()}


def other_choice(one: dict[str, Any]) -> dict[str, Any]:
    choices = [choice | {"index": 1, "delta": choice["delta"] | {"content": "x"}} for choice in one["choices"]]
    return one | {"choices": choices, "usage": None}


def signed_details(chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Close the reasoning with a signature and something encrypted, in pieces of their own."""
    signature = {"type": "reasoning.text", "signature": "c2ln", "format": "unknown", "index": 0}
    secret = {"type": "reasoning.encrypted", "data": "ZW5j", "id": "rs_1", "format": "unknown", "index": 1}
    at = max(i for i, c in enumerate(chunks[:-1]) if c["choices"][0]["delta"].get("reasoning_details"))
    later = [chunk({"reasoning": None, "reasoning_details": [detail]}) for detail in (signature, secret)]
    return [*chunks[: at + 1], *later, *chunks[at + 1 :]]


def named(model: str | None) -> Edit:
    return each(lambda one: one | {"model": model})


def choice_error(chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    chunks[-2]["choices"][0]["error"] = {"message": "The provider went away.", "code": 502}
    return chunks


def encoded_twice(old: dict[str, Any]) -> dict[str, Any]:
    return old | {"arguments": json.dumps(old["arguments"])}


# A row of wire.md's table of deviations each, in its order; some have several forms.
ROWS: dict[str, Deviation] = {
    "comments, blank data, names, CRLF, no space, a byte order mark": Deviation(write=noisy),
    "usage after the finish": Deviation(),
    "usage that never comes after the finish": Deviation(
        write=lambda c: stream(c[:-1], b"", [("silence",)]), on=(0,), usage=None
    ),
    "usage after the finish, and then silence": Deviation(write=lambda c: stream(c, b"", [("silence",)]), on=(0,)),
    "silence after [DONE]": Deviation(write=lambda c: stream(c, then=[("silence",)]), on=(0,)),
    "usage on every chunk": Deviation([cumulative]),
    "usage with the finish, before it, or in x_groq": Deviation(
        by_turn=[
            at_end(lambda end, usage: [end | {"usage": usage["usage"]}]),
            at_end(lambda end, usage: [usage, end]),
            at_end(lambda end, usage: [end | {"x_groq": {"id": "r", "usage": usage["usage"]}}]),
        ]
    ),
    "no usage": Deviation([NO_COUNT], usage=None),
    "no [DONE]": Deviation(write=lambda c: stream(c, b"")),
    "no [DONE], no usage, and the connection is reset": Deviation(
        [NO_COUNT], write=lambda c: stream(c, b"", [("abort",)]), usage=None
    ),
    "finish stop, or empty, with calls": Deviation(by_turn=[finish("stop"), finish("")]),
    "finish tool_calls without calls": Deviation([finish("tool_calls")]),
    "no finish": Deviation([finish(None)]),
    "no finish and no [DONE]": Deviation([finish(None), NO_COUNT], write=lambda c: stream(c, b""), on=(1,), **AGAIN),
    "other words for the end": Deviation(by_turn=[finish("eos"), finish("function_call"), finish("end_turn")]),
    "a finish that nobody knows": Deviation([finish("because")]),
    "other words for a failure": Deviation(
        by_turn=[finish("error"), finish("network_error"), finish("insufficient_system_resource")], **AGAIN
    ),
    "finish abort": Deviation([finish("abort")], on=(1,), **AGAIN),
    "calls without index": Deviation([repeated("id"), parts(without("index"))]),
    "calls without index or id, whole": Deviation([whole_calls, parts(without("index", "id"))], same_ids=False),
    "every call with index 0": Deviation([parts(lambda part: part | {"index": 0})]),
    "every call with index null, whole": Deviation([whole_calls, parts(lambda part: part | {"index": None})]),
    "the id in every piece": Deviation([repeated("id")]),
    "id and name in every piece": Deviation([repeated("id", "name")]),
    "the name in every piece": Deviation([repeated("name")]),
    "id null, or empty": Deviation(
        by_turn=[parts(lambda part: part | {"id": None}), parts(lambda part: part | {"id": ""})], same_ids=False
    ),
    "a name in pieces": Deviation([split_names]),
    "a call in one piece": Deviation([whole_calls]),
    "arguments that are an object": Deviation([whole_calls, parts(function(as_object))]),
    "arguments encoded twice": Deviation([whole_calls, parts(function(encoded_twice))]),
    "calls interleaved": Deviation(interleave=True),
    "text amid the calls": Deviation(
        [inserted("tool_calls", {"content": " More."})], on=(0, 1), texts=(READING, " More.", WRITING, " More.", ANSWER)
    ),
    "reasoning after text": Deviation(
        [inserted("content", {"reasoning_content": "Hm."})],
        on=(0, 1),
        texts=None,
        thoughts=(THOUGHT, "Hm.") * 2 + (THOUGHT,),
    ),
    "reasoning amid the calls": Deviation(
        [inserted("tool_calls", {"reasoning_content": "Hm."})], on=(0, 1), thoughts=(THOUGHT, "Hm.") * 2 + (THOUGHT,)
    ),
    "content in parts": Deviation([deltas(in_parts)], provider="mistral", ids="Xy{:07d}".format),
    "null, empty and the role in every delta": Deviation([deltas(nulled)]),
    "blank lines after the reasoning": Deviation([in_tags(closer="</think>\n\n")]),
    "nothing but blank lines before the calls": Deviation(
        [deltas(lambda d: d | HAIKU if d.get("content") else d)], on=(0, 1), texts=(ANSWER,)
    ),
    "an empty reply": Deviation([lambda c: [c[0], *c[-2:]], finish("stop")], on=(1,), **AGAIN),
    "an error at the start of the stream": Deviation(write=lambda _: sent(BROKEN), on=(1,), **AGAIN),
    "an error after the first chunk": Deviation(write=cut(lambda _: 1, BROKEN), on=(1,), **AGAIN),
    "an error amid the stream": Deviation(write=cut(half, BROKEN, DONE), on=(1,), **AGAIN),
    "HTML with status 200": Deviation(write=lambda _: Http(200, HTML, {"content-type": "text/html"}), on=(0,), **AGAIN),
    "HTML that calls itself a stream": Deviation(write=lambda _: sent(HTML), on=(1,), **AGAIN),
    "text with status 200": Deviation(write=lambda _: Http(200, b"upstream connect error"), on=(2,), **AGAIN),
    "think tags in pieces": Deviation([in_tags(size=1)]),
    "think tags without the first": Deviation([in_tags(opener="")], provider="opened"),
    "characters in pieces": Deviation(write=bytewise),
    "no model's name, or another's": Deviation(by_turn=[named(""), named("house/other"), named(None)]),
    "no created, and choices null": Deviation(
        [each(lambda c: c | {"created": None}), lambda c: [HEAD | {"choices": None}, HEAD, *c]]
    ),
    "a line of megabytes": Deviation([lambda c: [c[0] | {"obfuscation": "x" * 4_000_000}, *c[1:]]]),
}

# From the notes around the table.
MORE: dict[str, Deviation] = {
    "a JSON body": Deviation(write=whole),
    "calls without index, whole": Deviation([whole_calls, parts(without("index"))]),
    "calls without index, one after the other": Deviation([parts(without("index"))]),
    "a call in the form before tool calls": Deviation([whole_calls, legacy], same_ids=False, names=("one",)),
    "two choices": Deviation([lambda c: [new for one in c for new in (other_choice(one), one)]]),
    "null errors and empty lists": Deviation(
        [
            each(lambda c: c | {"error": None}),
            deltas(lambda d: {"tool_calls": [], "annotations": [], "refusal": ""} | d),
        ]
    ),
    "characters between the halves of which JSON was cut": Deviation(write=halved),
    "ids that count the calls of a turn": Deviation(ids=lambda n: str(n % 2)),
    "ids with dots and colons, the same in every turn": Deviation(ids=lambda n: f"functions.call:{n % 2}"),
    "ids of forty characters": Deviation(ids="{:040d}".format),
    "ids of nine characters": Deviation(provider="mistral", ids="Ab{:07d}".format),
    "ids that the upstream itself would refuse": Deviation(provider="mistral", same_ids=False),
    "reasoning twice": Deviation([deltas(details)], provider="router"),
    "reasoning in the field of old": Deviation([deltas(renamed("reasoning_content", "reasoning"))]),
    "an error in the choice": Deviation([finish("error"), choice_error], on=(1,), **AGAIN),
    "an error without words": Deviation(write=cut(half, b'data: {"error":{}}\n\n'), on=(1,), **AGAIN),
    "an error as a string": Deviation(write=cut(half, b'data: {"error":"overloaded"}\n\n'), on=(0,), **AGAIN),
    "an error in an event of that name": Deviation(
        write=cut(half, b'event: error\ndata: {"message":"overloaded","code":503}\n\n'), on=(1,), **AGAIN
    ),
    "an end amid the reasoning": Deviation(write=cut(lambda _: 2), on=(1,), **AGAIN),
    "a reset amid the calls": Deviation(write=cut(half, end=("abort",)), on=(1,), **AGAIN),
    "an end amid the JSON": Deviation(write=cut(half, b'data: {"id":"x","choi'), on=(1,), **AGAIN),
    "JSON that is none amid the stream": Deviation(
        write=lambda c: sent(*map(data, c[:4]), b'data: {"choices":[{"del\n\n', *map(data, c[4:])), on=(1,), **AGAIN
    ),
}
