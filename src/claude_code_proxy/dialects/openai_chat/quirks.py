"""How a provider's Chat Completions differ from the common ground; one row of providers.toml each."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from msgspec import Struct

from claude_code_proxy.dialects.quirks import reader

Marks: TypeAlias = Literal["", "plain", "full"]
"""Which cache marks are taken: none, marks, or also how long they hold and one for the whole request."""

MAX_STOPS: Final = 4
"""How many stop sequences an upstream takes (OpenAI's limit)."""


class Quirks(Struct, frozen=True, forbid_unknown_fields=True):
    """Deviations, with the safest choice for an unknown server as default.

    max_tokens: the field that limits the output. OpenAI's reasoning models refuse the old name, most
        other servers know only that.
    system_anywhere: whether system messages may stand between turns. Most chat templates of open models
        raise an error on one that is not first; there the text becomes part of a user message.
    files: whether user messages take file parts (PDF).
    top_k: whether the sampling field of that name is taken.
    tools: "native", or "schema" for a server that knows no tools but answers in a JSON schema: the calls are
        asked for and read as such an answer (see `shim`).
    replay: the field in which earlier reasoning goes back to the model that said it, or none. Some models
        lose the thread of a tool loop, and DeepSeek's refuse it, without.
    tool_ids: which ids of tool calls are taken; others are replaced, the same way each time.
    think: "opened" for a server whose template opens the tag of the reasoning, so that a reply begins inside it.
    effort: where the wish for more or less thinking goes: a field `reasoning_effort`, OpenRouter's
        `reasoning` object, or nowhere.
    session_key: the field that takes a stable, anonymous key of the session, which steers prompt caches.
    session_header: the header that takes it.
    cache_marks: which models take Anthropic's cache marks on parts of content, by patterns in lower case: "plain", or
        "full" with how long they hold and the mark of a whole request.
    web_search: the type of the tool with which its server searches the web, if it has one.
    min_tokens: the smallest output limit that is taken.
    """

    max_tokens: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    system_anywhere: bool = False
    files: bool = False
    top_k: bool = False
    tools: Literal["native", "schema"] = "native"
    replay: Literal["", "reasoning_content", "reasoning_details"] = ""
    tool_ids: Literal["any", "openai", "mistral"] = "any"
    think: Literal["", "opened"] = ""
    effort: Literal["", "reasoning_effort", "reasoning"] = ""
    session_key: str = ""
    session_header: str = ""
    cache_marks: dict[str, Marks] = {}
    web_search: str = ""
    min_tokens: int = 1


quirks_of: Final = reader(Quirks)
"""Reads the quirks of a provider's row."""
