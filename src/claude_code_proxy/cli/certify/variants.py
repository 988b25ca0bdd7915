"""What to try where a check fails: other values of a provider's quirks. One table; no code names a provider."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from claude_code_proxy.cli.certify.verdicts import Verdict

_REFUSED: Final = frozenset({400, 404, 413, 415, 422, 500, 501})
"""The statuses of a request that another form may mend."""


_NEVER: Final = "(?!)"
"""No words: it has its price, so that it is tried for its own check only."""


class Variant(NamedTuple):
    """Values for a quirk of a dialect. `words` are those of a refusal that is about it.

    `checks` are those whose failing it may mend, whatever the words; `unwell` also where they are merely weak or
    nothing is offered.
    """

    dialect: str
    quirk: str
    values: tuple[Any, ...]
    words: str
    checks: tuple[str, ...] = ()
    unwell: bool = False


VARIANTS: Final = (
    Variant("openai_chat", "max_tokens", ("max_completion_tokens", "max_tokens"), "max_(completion_)?tokens"),
    Variant("openai_chat", "min_tokens", (16,), "max_|token|minimum", ("probe",)),
    Variant("openai_chat", "system_anywhere", (False,), "system|role|template|jinja", ("system-between", "tool-many")),
    Variant("openai_chat", "files", (False,), "file", ("pdf",)),
    Variant("openai_chat", "tool_ids", ("openai", "mistral"), "call.?id|id .*length|pattern"),
    Variant("openai_chat", "tools", ("schema",), _NEVER, ("tool",), unwell=True),
    Variant("openai_chat", "replay", ("reasoning_content", "reasoning_details"), "reasoning"),
    Variant("openai_chat", "replay", ("",), "reasoning"),
    Variant("openai_chat", "effort", ("",), "effort|reasoning"),
    Variant("openai_chat", "effort", ("reasoning_effort", "reasoning"), _NEVER, ("thinking",), unwell=True),
    Variant("openai_chat", "think", ("opened",), "between tags"),
    Variant("openai_chat", "session_key", ("",), "prompt_cache_key|session_id|unknown|unrecognized|extra"),
    Variant("openai_chat", "cache_marks", ({},), "cache_control|unknown|extra"),
    Variant("openai_chat", "top_k", (False,), "top_k"),
    Variant("openai_responses", "min_tokens", (16, 1), "max_output|minimum", ("probe",)),
    Variant("openai_responses", "system_role", ("system", "user"), "role|developer|system", ("system-between",)),
    Variant("openai_responses", "files", (False,), "file", ("pdf",)),
    Variant("openai_responses", "summary", ("off", ""), "summary|reasoning|verified"),
    Variant("openai_responses", "think_tags", (True,), "between tags"),
    Variant("openai_responses", "session_key", ("",), "prompt_cache_key|session_id|unknown|unrecognized|extra"),
    Variant("gemini", "schema", ("openapi",), "schema|parameters|unknown name", ("tool", "tool-many")),
    Variant("gemini", "call_ids", (False,), r"\bid\b|unknown name"),
    Variant("anthropic", "native", ("mended",), "ended without|block|message_|no JSON|stop_reason|cannot be read"),
    Variant("anthropic", "plain", (True,), "document|tool_reference|block", ("pdf",)),
)


def worth(check: str, verdict: Verdict, dialect: str, quirks: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The changes worth trying for a check with this verdict, the likeliest first: a quirk and its value.

    `quirks` are those in force, the defaults among them.
    """
    if verdict.level == "pass" or (verdict.status and verdict.status not in _REFUSED):
        return
    rows = [row for row in VARIANTS if row.dialect == dialect]
    told = [row for row in rows if verdict.level == "fail" and re.search(row.words, verdict.text, re.IGNORECASE)]
    meant = [row for row in rows if check in row.checks and (row.unwell or verdict.level == "fail")]
    chosen = [*told, *(row for row in meant if row not in told)]
    for row in chosen:
        yield from ((row.quirk, value) for value in row.values if quirks.get(row.quirk) != value)
