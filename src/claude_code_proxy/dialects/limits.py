"""Refusals for size, in whatever words, retold in those that Claude Code acts on.

- `prompt is too long: N tokens > M maximum`: it compacts its history, by as much as the numbers say.
- ``input length and `max_tokens` exceed context limit: A + B > C``: it asks for fewer output tokens.
- `max_tokens: A > B, which is the maximum allowed…`: it asks for B from then on.

It matches the whole message, so nothing is added to these.
"""

from __future__ import annotations

import re
from typing import Final

from claude_code_proxy.wire.json_text import digits


def _patterns(*patterns: str) -> tuple[re.Pattern[str], ...]:
    """Patterns in which <LIMIT>, <PROMPT> and so on stand for numbers."""
    return tuple(
        re.compile(re.sub(r"<([A-Z]+)>", r"`?(?P<\1>\\d[\\d,]*)`?", pattern), re.IGNORECASE | re.DOTALL)
        for pattern in patterns
    )


_RETOLD: Final = _patterns(
    r"prompt is too long: <PROMPT> tokens > <LIMIT> maximum",
    r"input length and `max_tokens` exceed context limit: <PROMPT> \+ <OUTPUT> > <LIMIT>",
)
"""In the client's own words already, perhaps quoted."""

_BOTH: Final = _patterns(
    r"maximum context length is (?:only )?<LIMIT> tokens\b.*?\b(?:you requested|in the).*?"
    r"\b<PROMPT> (?:in the messages|of text input)(?:.{0,40}?\b<TOOLS> of tool input)?.*?"
    r"\b<OUTPUT> in the (?:completion|output)",
    r"maximum context length is <LIMIT> tokens.*?requested <OUTPUT> output tokens.*?\b<PROMPT> input tokens",
    r"max_(?:completion_)?tokens.{0,40}too large: <OUTPUT>.*?maximum context length is <LIMIT>\b.*?"
    r"\b<PROMPT> input tokens",
    r"maximum context length of <LIMIT> tokens.*?\b<PROMPT> tokens from the input messages and <OUTPUT> tokens for",
    r"must be <= <LIMIT>.*?given: <PROMPT> `?inputs`? tokens and <OUTPUT>",
)
"""Prompt and output together are over the limit."""

_FIELD: Final = r"max_?(?:completion_?|output_?)?tokens"
_OUTPUT: Final = _patterns(
    rf"{_FIELD}`? must be (?:at most|less than or equal to|<=) <LIMIT>",
    rf"{_FIELD}.{{0,40}}too large.{{0,80}}?(?:at most|maximum|limit)\D{{0,30}}<LIMIT>",
    rf"{_FIELD}.{{0,60}}exceeds?.{{0,60}}?(?:maximum|limit)\D{{0,30}}<LIMIT>",
    rf"{_FIELD}.{{0,60}}\[\d+, ?<LIMIT>\]",
    rf"{_FIELD}.{{0,90}}supported range is from \d+ \(inclusive\) to <LIMIT> \(exclusive\)",
)
"""The output limit that was asked for is over the model's."""

_ALONE: Final = re.compile(
    r"""context_length_exceeded | exceed_context_size_error | maximum\ context\ length | maximum\ context\ limit
    | max\ context\ length | reduce\ the\ length\ of\ (the|either) | exceed\ context\ limit
    | exceeds?\ (the\ )?((available|model)('s)?\ )?context
    | longer\ than\ the\ (maximum\ )?(model('s)?\ )?(maximum\ )?(context\ )?(length|window)
    | input\ tokens?\ (count|exceed) | input\ token\ length\ too\ long | `?inputs`?\ (tokens\ \+|must\ have\ less\ than)
    | exceeds\ the\ maximum\ number\ of\ tokens | current\ length\ is\ \d+\ while | maximum\ (input|prompt)\ length
    | (input|prompt)\ (is\ )?too\ long | prompt\ exceeds | range\ of\ input\ length | too\ many\ tokens
    | exceeded\ model\ token\ limit | context\ window\ exceeds | requested\ token\ count\ exceeds
    | input\ length\ exceeds | too\ large\ for\ model\ with | greater\ than\ the\ context\ length
    | context\ length\ of\ only | prompt\ token\ count\ of | too\ large\ for\ \S+\ model | configured\ context\ size
    | prompt\ is\ longer\ than\ the\ context""",
    re.IGNORECASE | re.VERBOSE,
)
"""The prompt alone does not fit the model's window."""

_READ: Final = 2000
"""Characters of a message that are looked at: patterns take their time over long ones."""

_OTHER: Final = re.compile(r"_above_max_length|string too long|array too long", re.IGNORECASE)

_LIMITS: Final = _patterns(
    r"less than <LIMIT> tokens",
    r"\[\d+, ?<LIMIT>\]",
    r"\blimit\b[^\d]{0,40}<LIMIT>",
    r"\bmaximum\b[^\d]{0,40}<LIMIT>",
    r"\b(?:up to|context size is|length of only|window|model with)\b[^\d]{0,40}<LIMIT>",
    r"\b(?:length|size|exceeds?|than)\b[^\d]{0,40}<LIMIT>",
)
"""Words that a limit follows, the surest first."""

_NUMBER: Final = re.compile(r"(?<![\w.-])\d[\d,]{2,}(?![\w.-]*\w)")
_NO_PROMPT: Final = re.compile(r"exceeded (?:\w+ ){0,3}by \d+", re.IGNORECASE)
"""Here the larger number is by how much, or nothing that can be compared."""


def retold(message: str, code: str, asked: int) -> str | None:
    """The message in the client's words; None if it is about something else.

    `code` is the upstream's own code or type for the error, `asked` the output limit that was asked for.
    """
    message = message[:_READ]
    said = f"{code} {message}"
    if _OTHER.search(said):
        return None
    for pattern in _RETOLD:
        if found := pattern.search(message):
            return _told(found)
    for pattern in _BOTH:
        if found := pattern.search(message):
            return _told(found)
    for pattern in _OUTPUT:
        if found := pattern.search(message):
            most = _int(found["LIMIT"]) - ("(exclusive)" in found[0])
            asked = max(asked, most + 1)
            return f"max_tokens: {asked} > {most}, which is the maximum allowed number of output tokens for this model"
    if not _ALONE.search(said):
        return None
    limit = next((_int(found["LIMIT"]) for words in _LIMITS if (found := words.search(message))), 0)
    prompt = max((_int(number) for number in _NUMBER.findall(message)), default=0)
    if prompt > limit > 0 and not _NO_PROMPT.search(message):
        return _prompt(prompt, limit)
    return f"prompt is too long: {message or code}"


def _told(found: re.Match[str]) -> str:
    numbers = {name: _int(number) for name, number in found.groupdict().items() if number}
    prompt, limit = numbers["PROMPT"] + numbers.get("TOOLS", 0), numbers["LIMIT"]
    output = numbers.get("OUTPUT", 0)
    if prompt > limit or not output:
        return _prompt(max(prompt, limit + 1), limit)
    return (
        f"input length and `max_tokens` exceed context limit: {prompt} + {output} > {limit}, "
        "decrease input length or `max_tokens` and try again"
    )


def _prompt(tokens: int, limit: int) -> str:
    return f"prompt is too long: {tokens} tokens > {limit} maximum"


def _int(number: str) -> int:
    return digits(number.replace(",", "")) or 0
