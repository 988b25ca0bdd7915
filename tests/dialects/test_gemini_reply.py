from __future__ import annotations

import json
from typing import Any

import pytest

from calls import JSON, body, call, replied
from claude_code_proxy.dialects.base import Answer, Outgoing
from claude_code_proxy.dialects.gemini import DIALECT
from claude_code_proxy.dialects.gemini.finish import STOP_REASONS
from claude_code_proxy.wire.watch import Watch
from gemini_chunks import COUNTS, STOP, USAGE, chunk, client_gets, function, piece, sse, text, thought
from grammar import Read, read


def test_text_and_thoughts() -> None:
    told = client_gets(sse(chunk(thought("Hm")), chunk(thought("m.")), chunk(text("größer")), chunk(text(" 😀")), STOP))
    assert (told.thinking, told.text, told.stop_reason) == ("Hmm.", "größer 😀", "end_turn")
    assert [block["type"] for block in told.blocks] == ["thinking", "text"]
    assert told.blocks[0]["signature"]


def test_calls_with_and_without_ids() -> None:
    told = client_gets(sse(chunk(function("a", {"x": 1}, id="call_abcdef01"), function("b", {}), function("b")), STOP))
    assert told.calls == [("a", {"x": 1}), ("b", {}), ("b", {})]
    assert [block["id"] for block in told.blocks] == ["call_abcdef01", "toolu_seed_1", "toolu_seed_2"]
    assert told.stop_reason == "tool_use"


def test_ids_that_come_twice_are_told_apart() -> None:
    told = client_gets(sse(chunk(function("a", {}, id="same-id-again"), function("a", {}, id="same-id-again")), STOP))
    assert [block["id"] for block in told.blocks] == ["same-id-again", "toolu_seed_1"]


TOOLS: dict[str, Any] = {"short": {"name": "a.long/name"}, "default_api": {"name": "default_api"}}
NAMES = [
    ("short", "a.long/name"),
    ("default_api.short", "a.long/name"),
    ("default_api:short", "a.long/name"),
    ("default_api", "default_api"),
    ("default_api.other", "default_api.other"),
    ("other", "other"),
]


@pytest.mark.parametrize(("name", "shown"), NAMES)
def test_a_tool_has_the_name_that_the_client_gave_it(name: str, shown: str) -> None:
    answer = Answer(200, {"content-type": "text/event-stream"})
    machine = DIALECT.reply(call(body(stream=True)), Outgoing("", b"", tools=TOOLS), answer, Watch())
    out = b"".join([*machine.feed(sse(chunk(function(name, {})), STOP)), *machine.close()])
    assert read(out).calls == [(shown, {})]


PIECES: list[tuple[str, list[dict[str, Any]], Any]] = [
    ("nothing", [function()], {}),
    ("one text", [piece("$.a", "x", more=False)], {"a": "x"}),
    ("a text in pieces", [piece("$.a", "x", goes_on=True), piece("$.a", "", goes_on=True), piece("$.a", "y"), function()], {"a": "xy"}),
    ("a text anew", [piece("$.a", "x"), piece("$.a", "y"), function()], {"a": "y"}),
    ("every type", [piece("$.a", 1), piece("$.b", 0.5), piece("$.c", value=True), piece("$.d", value=False), piece("$.e"), function()], {"a": 1, "b": 0.5, "c": True, "d": False, "e": None}),
    ("lists", [piece("$.a[0]", "x"), piece("$.a[1]", "y"), function()], {"a": ["x", "y"]}),
    ("deep", [piece("$.a[0].b[1].c", 1), piece("$.a[1].b", 2), function()], {"a": [{"b": [None, {"c": 1}]}, {"b": 2}]}),
    ("odd names", [piece("$['a.b'][\"c]\"]", 1), piece(r"$['it\'s']", 2), function()], {"a.b": {"c]": 1}, "it's": 2}),
    ("nothing in between", [piece("$.a", 1), function(willContinue=True), piece("$.b", 2, more=False)], {"a": 1, "b": 2}),
    ("the name again", [function("f", partialArgs=[{"jsonPath": "$.a", "numberValue": 1}], willContinue=True), function()], {"a": 1}),
    ("whole after all", [function("", {"a": 1})], {"a": 1}),
    ("whole as text", [function("", '{"a": "ö"}')], {"a": "ö"}),
]  # fmt: skip


@pytest.mark.parametrize(("parts", "expected"), [row[1:] for row in PIECES], ids=[row[0] for row in PIECES])
def test_a_call_in_pieces(parts: list[dict[str, Any]], expected: Any) -> None:
    chunks = [chunk(function("f", willContinue=True)), *map(chunk, parts), STOP]
    told = client_gets(sse(*chunks))
    assert told.calls == [("f", expected)]
    assert told.stop_reason == "tool_use"


@pytest.mark.parametrize(
    "path", ["", "a", "$", "$.", "$.a[", "$.a[*]", "$..a", "$.a[99999999]", "$.a[20000]", "$.a.b[0]", "$[0]", 7, None]
)
def test_a_piece_without_a_place_never_runs(path: Any) -> None:
    broken = {"functionCall": {"partialArgs": [{"jsonPath": path, "stringValue": "x"}], "willContinue": True}}
    stream = sse(
        chunk(function("f", willContinue=True)), chunk(piece("$.a", "x")), chunk(broken), chunk(function()), STOP
    )
    out = replied(DIALECT, [stream])
    [(_, arguments)] = read(out, unfinished=True).calls
    assert isinstance(arguments, str)  # the client tells the model that this is no JSON


@pytest.mark.parametrize("args", ["{", "[1]", "7", [1], 7, True])
def test_arguments_that_are_no_object_never_run(args: Any) -> None:
    [(_, arguments)] = read(replied(DIALECT, [sse(chunk(function("f", args)), STOP)]), unfinished=True).calls
    assert isinstance(arguments, str)


def test_a_call_that_the_limit_cut_never_runs() -> None:
    stream = sse(
        chunk(function("f", willContinue=True)), chunk(piece("$.a", "x", goes_on=True)), chunk(finish="MAX_TOKENS")
    )
    told = read(replied(DIALECT, [stream]), unfinished=True)
    assert told.stop_reason == "max_tokens"
    assert told.calls == [("f", '{"a":"x"')]


def test_one_call_where_the_client_takes_only_one() -> None:
    stream = sse(
        chunk(function("f", willContinue=True)), chunk(piece("$.a", 1)),
        chunk(function("g", willContinue=True)), chunk(piece("$.b", 2)), chunk(function("h", {"c": 3})), STOP,
    )  # fmt: skip
    asked = call(body(stream=True, tool_choice={"type": "auto", "disable_parallel_tool_use": True}))
    machine = DIALECT.reply(asked, Outgoing("", b""), Answer(200, {"content-type": "text/event-stream"}), Watch())
    assert read(b"".join([*machine.feed(stream), *machine.close()])).calls == [("f", {"a": 1})]


# -- ends


@pytest.mark.parametrize(("finish", "reason"), STOP_REASONS.items())
def test_finish_reasons(finish: str, reason: str) -> None:
    told = client_gets(sse(chunk(text("a")), chunk(finish=finish)))
    assert (told.text, told.stop_reason) == ("a", reason)


@pytest.mark.parametrize("finish", ["OTHER", "TOO_MANY_TOOL_CALLS", "SOMETHING_NEW"])
def test_an_end_for_another_reason_is_one_if_anything_was_said(finish: str) -> None:
    assert client_gets(sse(chunk(text("a"), finish=finish))).stop_reason == "end_turn"
    assert failed(sse(chunk(thought("hm"), finish=finish))) == ("api_error", 502)


@pytest.mark.parametrize("finish", ["MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", "UNEXPECTED_TOOL_CALL"])
@pytest.mark.parametrize("before", [(), (text("I will now"),)])
def test_a_reply_that_google_could_not_read_is_worth_another_try(finish: str, before: tuple[Any, ...]) -> None:
    watch = Watch()
    told = read(replied(DIALECT, [sse(chunk(*before, finish=finish, finishMessage="Malformed: print(x"))], watch=watch))
    assert watch.failed
    assert (watch.failed.type, watch.failed.status) == ("api_error", 502)
    assert "Malformed: print(x" in watch.failed.message
    assert bool(told.error) is bool(before)


def failed(stream: bytes, **how: Any) -> tuple[str, int]:
    """How a reply failed."""
    watch = Watch()
    replied(DIALECT, [stream], watch=watch, **how)
    assert watch.failed
    return watch.failed.type, watch.failed.status


def test_a_missing_signature_makes_the_client_go_on_without_thinking() -> None:
    watch = Watch()
    replied(DIALECT, [sse(chunk(finish="MISSING_THOUGHT_SIGNATURE"))], watch=watch)
    assert watch.failed
    assert watch.failed.status == 400
    assert watch.failed.message.startswith("capability_rejected: thinking_signature")


def test_a_refusal_without_a_word_says_so() -> None:
    told = client_gets(sse(chunk(finish="SAFETY", finishMessage="Not that.")))
    assert (told.stop_reason, told.text) == ("refusal", "Google stopped the reply (SAFETY). Not that.")


OUTSIDE = {"error": {"code": 429, "message": "Resource has been exhausted.", "status": "RESOURCE_EXHAUSTED"}}
RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34s"}


@pytest.mark.parametrize("before", [b"", sse(chunk(text("a")))], ids=["alone", "in the middle"])
def test_an_error_that_is_no_event_keeps_its_words(before: bytes) -> None:
    """Google writes it into a stream that has begun as it writes it in an answer of its own."""
    error = json.dumps({"error": OUTSIDE["error"] | {"details": [RETRY]}}, indent=2).encode()
    watch = Watch()
    out = replied(DIALECT, [before, error[:30], error[30:]], watch=watch)
    assert watch.failed
    assert (watch.failed.type, dict(watch.failed.headers)) == ("rate_limit_error", {b"retry-after": b"34"})
    assert (read(out).error is not None) == bool(before)


@pytest.mark.parametrize("whole", [True, False])
def test_a_blocked_prompt_is_a_refusal(whole: bool) -> None:  # noqa: FBT001
    said: dict[str, Any] = {"promptFeedback": {"blockReason": "JAILBREAK", "blockReasonMessage": "No."}, "usageMetadata": {"promptTokenCount": 9}}  # fmt: skip
    data = json.dumps(said).encode() if whole else sse(said)
    told = read(replied(DIALECT, [data], media_type=JSON if whole else "text/event-stream"))
    assert (told.stop_reason, told.usage["input_tokens"]) == ("refusal", 9)
    assert told.text == "Google blocked the prompt (JAILBREAK). No."


CUT = [
    b"",
    sse(chunk(text("a"))),
    sse(chunk(text("a")), {"usageMetadata": COUNTS}),
    sse(chunk(function("f", {"a": 1}))),
    sse(chunk(function("f", willContinue=True)), chunk(piece("$.a", "x"))),
    sse(chunk(text("a")), chunk(finish="FINISH_REASON_UNSPECIFIED")),
    sse(chunk(text("a")), b'data: {"candidates":[{"fin'),
    sse({"candidates": []}, {}),
]


@pytest.mark.parametrize("stream", CUT)
def test_a_stream_without_an_end_was_cut(stream: bytes) -> None:
    watch = Watch()
    told = read(replied(DIALECT, [stream], watch=watch))
    assert watch.failed
    assert watch.failed.status == 502
    assert not told.ended


def test_a_call_in_a_cut_stream_is_not_closed() -> None:
    told = read(replied(DIALECT, [sse(chunk(function("f", willContinue=True)), chunk(piece("$.a", "x")))]))
    assert (told.open, told.error is not None) == (True, True)


def test_a_list_without_an_end_was_cut() -> None:
    whole = json.dumps([chunk(text("a")), STOP]).encode()
    assert read(replied(DIALECT, [whole], media_type=JSON)).text == "a"
    for data in (json.dumps([chunk(text("a"))]).encode(), whole[:-1], b"[]", b"{}"):
        assert failed(data, media_type=JSON) == ("api_error", 502)


def test_a_whole_reply_needs_no_reason() -> None:
    told = read(replied(DIALECT, [json.dumps(chunk(text("a"))).encode()], media_type=JSON))
    assert (told.text, told.stop_reason) == ("a", "end_turn")


def test_an_end_in_every_chunk_is_the_last() -> None:
    told = client_gets(
        sse(chunk(text("a"), finish="STOP"), chunk(text("b"), finish="STOP"), chunk(text("c"), finish="MAX_TOKENS"))
    )
    assert (told.text, told.stop_reason) == ("abc", "max_tokens")


def test_an_error_in_a_stream() -> None:
    error = {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}
    assert failed(sse(error)) == ("overloaded_error", 529)
    assert client_error(sse(chunk(text("a")), error)) == "overloaded_error"
    full = {
        "error": {"code": 429, "message": "Quota.", "status": "RESOURCE_EXHAUSTED", "details": [{"retryDelay": "3s"}]}
    }
    watch = Watch()
    replied(DIALECT, [sse(full)], watch=watch)
    assert watch.failed
    assert (watch.failed.status, watch.failed.headers) == (429, ((b"retry-after", b"3"),))
    assert failed(json.dumps([full]).encode(), media_type=JSON) == ("rate_limit_error", 429)


def client_error(stream: bytes) -> str:
    told = read(replied(DIALECT, [stream]))
    assert told.error
    return str(told.error["type"])


# -- usage

USAGES: list[tuple[dict[str, Any], tuple[int, int, int]]] = [
    ({"promptTokenCount": 100, "candidatesTokenCount": 12, "thoughtsTokenCount": 30, "cachedContentTokenCount": 64}, (36, 64, 42)),
    ({"promptTokenCount": 100, "candidatesTokenCount": 12, "toolUsePromptTokenCount": 50}, (150, 0, 12)),
    ({"promptTokenCount": 100, "thoughtsTokenCount": 7}, (100, 0, 7)),
    ({"promptTokenCount": 100, "candidatesTokenCount": None, "cachedContentTokenCount": 200, "thoughtsTokenCount": 1}, (0, 200, 1)),
]  # fmt: skip


@pytest.mark.parametrize(("counts", "expected"), USAGES)
def test_usage(counts: dict[str, Any], expected: tuple[int, int, int]) -> None:
    told = client_gets(
        sse(chunk(text("a")), {**STOP, "usageMetadata": {"promptTokenCount": 1}}, {"usageMetadata": counts})
    )
    assert _counts(told) == expected


def _counts(told: Read) -> tuple[int, int, int]:
    return told.usage["input_tokens"], told.usage["cache_read_input_tokens"], told.usage["output_tokens"]


@pytest.mark.parametrize(
    "usage", [{}, {"usageMetadata": {"trafficType": "ON_DEMAND"}}, {"usageMetadata": {"promptTokenCount": "7"}}]
)
def test_usage_that_nobody_counted_is_estimated(usage: dict[str, Any]) -> None:
    told = client_gets(sse(chunk(text("word " * 40)), {**STOP, **usage}))
    assert told.usage["input_tokens"] > 0
    assert told.usage["output_tokens"] == 50


# -- other parts


def test_code_that_was_run() -> None:
    stream = sse(
        chunk(text("Counting."), {"executableCode": {"language": "PYTHON", "code": "print(1)\n"}}),
        chunk({"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1\n"}}, text("One.")), STOP,
    )  # fmt: skip
    assert client_gets(stream).text == "Counting.\n```python\nprint(1)\n```\n\n```\n1\n```\nOne."


def test_what_cannot_be_shown_is_told() -> None:
    picture = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    told = client_gets(sse(chunk(picture, {"fileData": {"fileUri": "gs://b/f"}}), STOP))
    assert told.text == "[The model made a file (image/png, 3 bytes) that cannot be shown here.]gs://b/f"


@pytest.mark.parametrize(
    "part",
    [
        {},
        {"newThing": {"a": 1}},
        {"thought": True},
        {"text": None},
        {"functionCall": None},
        {"functionCall": {}},
        {"text": 7},
        {"functionCall": {"args": {}}},
    ],
)
def test_a_part_of_no_known_kind_is_passed_over(part: dict[str, Any]) -> None:
    assert client_gets(sse(chunk(text("a"), part, text("b")), STOP)).text == "ab"


def test_of_several_candidates_the_first() -> None:
    both = {
        "candidates": [
            {"index": 1, "content": {"parts": [text("no")]}, "finishReason": "SAFETY"},
            *chunk(text("yes"), finish="STOP")["candidates"],
        ]
    }
    told = client_gets(sse({**both, **USAGE}))
    assert (told.text, told.stop_reason, _counts(told)) == ("yes", "end_turn", (10, 0, 5))


def test_stop_sequences_beyond_the_fifth_are_looked_for() -> None:
    asked = call(body(stream=True, stop_sequences=["1", "2", "3", "4", "5", "END"]))
    machine = DIALECT.reply(asked, Outgoing("", b""), Answer(200, {"content-type": "text/event-stream"}), Watch())
    out = b"".join([*machine.feed(sse(chunk(text("a E")), chunk(text("ND b")), STOP)), *machine.close()])
    told = read(out)
    assert (told.text, told.stop_reason, told.stop_sequence) == ("a ", "stop_sequence", "END")


# -- the web

FOUND = {
    "webSearchQueries": ["plover", "bird"],
    "groundingChunks": [
        {"web": {"uri": "https://a.test/1", "title": "a.test"}},
        {"image": {}},
        {"web": {"uri": "https://b.test/2", "domain": "b.test"}},
        {"web": {"uri": "https://a.test/1", "title": "a.test"}},
    ],
    "groundingSupports": [
        {"segment": {"startIndex": 8, "endIndex": 13, "text": "two"}, "groundingChunkIndices": [2, 1, 9, "x"]},
        {"segment": {"endIndex": 7, "text": "Größer"}, "groundingChunkIndices": [0]},
        {"segment": {"endIndex": 99}, "groundingChunkIndices": [0]},
        {},
    ],
}
SEARCH = {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}


def searched(stream: bytes) -> Read:
    machine = DIALECT.reply(call(body(stream=True, **SEARCH)), Outgoing("", b""), Answer(200, {"content-type": "text/event-stream"}), Watch())  # fmt: skip
    return read(b"".join([*machine.feed(stream), *machine.close()]))


def test_a_blocked_prompt_of_a_search_says_so() -> None:
    told = searched(sse({"promptFeedback": {"blockReason": "JAILBREAK"}}))
    assert (told.stop_reason, told.text) == ("refusal", "Google blocked the prompt (JAILBREAK).")


def test_a_search_is_told_as_anthropics() -> None:
    told = searched(sse(chunk(text("Größer.")), chunk(text(" two."), finish="STOP", groundingMetadata=FOUND)))
    call_, found, said = told.blocks
    assert (call_["type"], call_["name"], call_["input"]) == (
        "server_tool_use",
        "web_search",
        {"query": "plover · bird"},
    )
    assert found["type"] == "web_search_tool_result"
    assert found["tool_use_id"] == call_["id"]
    assert [(hit["url"], hit["title"]) for hit in found["content"]] == [
        ("https://a.test/1", "a.test"),
        ("https://b.test/2", "b.test"),
    ]
    assert said["text"] == "Größer. two."
    assert [one["url"] for one in said["citations"]] == ["https://a.test/1", "https://b.test/2"]
    assert told.stop_reason == "end_turn"


def test_what_was_thought_comes_before_what_was_found() -> None:
    told = searched(sse(chunk(thought("Hm.")), chunk(text("It is.", "s"), finish="STOP", groundingMetadata=FOUND)))
    kinds = [block["type"] for block in told.blocks]
    assert kinds == ["thinking", "server_tool_use", "web_search_tool_result", "text"]
    assert told.blocks[0]["signature"]


def test_an_answer_without_a_search_is_text() -> None:
    told = searched(sse(chunk(text("I know that.")), STOP))
    assert [block["type"] for block in told.blocks] == ["text"]
    assert told.text == "I know that."


@pytest.mark.parametrize("end", range(12))
def test_a_citation_inside_a_character_loses_nothing(end: int) -> None:
    support = {"segment": {"endIndex": end}, "groundingChunkIndices": [0]}
    told = searched(
        sse(chunk(text("äö😀ü"), finish="STOP", groundingMetadata={**FOUND, "groundingSupports": [support]}))
    )
    assert told.text == "äö😀ü"


def test_grounding_that_was_not_asked_for_is_cited() -> None:
    told = client_gets(sse(chunk(text("Größer.")), chunk(finish="STOP", groundingMetadata=FOUND)))
    assert [block["type"] for block in told.blocks] == ["text"]
    assert {one["url"] for one in told.blocks[0]["citations"]} == {"https://a.test/1", "https://b.test/2"}


def test_a_reply_in_a_wrapper() -> None:
    told = client_gets(sse({"response": chunk(text("a"))}, {"response": {**STOP, **USAGE}, "traceId": "x"}))
    assert (told.text, told.stop_reason, _counts(told)) == ("a", "end_turn", (10, 0, 5))
