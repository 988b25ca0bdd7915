"""Refusals for size, in whatever words, retold in those that Claude Code acts on.

- `prompt is too long: N tokens > M maximum`: it compacts its history, by as much as the numbers say.
- ``input length and `max_tokens` exceed context limit: A + B > C``: it asks for fewer output tokens.
- `max_tokens: A > B, which is the maximum allowed…`: it asks for B from then on.
"""

from __future__ import annotations

import re
from typing import Final

from claude_code_proxy.wire.json_text import digits

_N: Final = r"`?(\d[\d,]*)`?"

_BOTH: Final = tuple(
    re.compile(pattern, re.IGNORECASE | re.DOTALL)
    for pattern in (
        rf"maximum context length is (?:only )?(?P<limit>{_N}) tokens.*?\D(?P<prompt>{_N}) "
        rf"(?:in the messages|of text input|input tokens).*?(?P<output>{_N}) in the (?:completion|output)",
        rf"max_(?:completion_)?tokens.{{0,40}}too large: (?P<output>{_N}).*?maximum context length is (?P<limit>{_N})"
        rf".*?(?P<prompt>{_N}) input tokens",
        rf"must be <= (?P<limit>{_N}).*?given: (?P<prompt>{_N}) `?inputs`? tokens and (?P<output>{_N})",
    )
)
"""Prompt and output together are over the limit."""

_FIELD: Final = r"max_?(?:completion_|output_)?tokens"
_OUTPUT: Final = tuple(
    re.compile(f"{_FIELD}{rest}", re.IGNORECASE | re.DOTALL)
    for rest in (
        rf".{{0,60}}(?:at most|maximum (?:value )?(?:is|of)|less than or equal to|<=) {_N}",
        rf".{{0,60}}(?:too large|exceeds?).{{0,80}}?(?:at most|maximum|limit)\D{{0,30}}{_N}",
        rf".{{0,60}}range.{{0,30}}\[\d+, ?{_N}\]",
        rf".{{0,20}}\[\d+, ?{_N}\]",
        rf".{{0,60}}supported range is from \d+ \(inclusive\) to {_N} \(exclusive\)",
    )
)
"""The output limit that was asked for is over the model's."""

_PROMPT: Final = re.compile(
    r"""context_length_exceeded | maximum\ context\ length | model's\ maximum\ context\ limit
    | reduce\ the\ length\ of\ the\ (messages|prompt|input) | exceeds?\ (the\ )?(available\ )?context
    | exceeds?\ (the\ )?model('s)?\ context | exceeds\ the\ context\ window | exceed\ context\ limit
    | longer\ than\ the\ (maximum\ )?(model('s)?\ )?(maximum\ )?(context\ )?length | exceed_context_size_error
    | input\ tokens\ exceed | inputs`?\ tokens\ \+\ `?max_new_tokens | exceeds\ the\ maximum\ number\ of\ tokens
    | input\ token\ count | current\ length\ is\ \d+\ while\ limit | maximum\ input\ length\ is
    | maximum\ prompt\ length | input\ (is\ )?too\ long | prompt\ is\ too\ long | prompt\ exceeds\ max\ length
    | range\ of\ input\ length\ should\ be | exceeded\ model\ token\ limit | context\ window\ exceeds\ limit
    | requested\ token\ count\ exceeds | input\ length\ exceeds\ the\ context | too\ large\ for\ model\ with
    | prompt\ is\ longer\ than\ the\ context | input\ token\ length\ too\ long""",
    re.IGNORECASE | re.VERBOSE,
)
"""The prompt alone does not fit the model's window."""

_OTHER: Final = re.compile(r"string_above_max_length", re.IGNORECASE)
_LIMIT: Final = tuple(
    re.compile(rf"{words}[^\d]{{0,40}}{_N}", re.IGNORECASE)
    for words in (
        r"\[\d+,",
        r"\blimit\b",
        r"\bmaximum\b",
        r"\bwindow\b",
        r"\b(?:length|size|exceeds?|than|model with)\b",
    )
)
"""Words that a limit follows, the surest first."""

_NUMBER: Final = re.compile(r"(?<![\w.-])\d[\d,]{2,}(?![\w.-]*\w)")


def retold(message: str, code: str, asked: int) -> str | None:
    """The message in the client's words; None if it is about something else.

    `code` is the upstream's own code or type for the error, `asked` the output limit that was asked for.
    """
    said = f"{code} {message}"
    if _OTHER.search(said):
        return None
    for pattern in _BOTH:
        if found := pattern.search(message):
            prompt, output, limit = (_int(found[name]) for name in ("prompt", "output", "limit"))
            if prompt >= limit:
                return _prompt(prompt, limit)
            return (
                f"input length and `max_tokens` exceed context limit: {prompt} + {output} > {limit}, "
                "decrease input length or `max_tokens` and try again"
            )
    for pattern in _OUTPUT:
        if found := pattern.search(message):
            most = _int(found[1]) - ("(exclusive)" in found[0])
            return f"max_tokens: {max(asked, most + 1)} > {most}, which is the maximum allowed number of output tokens"
    if not _PROMPT.search(said):
        return None
    if message.lower().startswith("prompt is too long"):
        return message
    limit = next((_int(found[1]) for words in _LIMIT if (found := words.search(message))), 0)
    prompt = max((_int(number) for number in _NUMBER.findall(message)), default=0)
    if prompt > limit > 0:
        return f"{_prompt(prompt, limit)} ({message})"
    return f"prompt is too long: {message or code}"


def _prompt(tokens: int, limit: int) -> str:
    return f"prompt is too long: {tokens} tokens > {limit} maximum"


def _int(number: str) -> int:
    return digits(number.strip("`").replace(",", "")) or 0
