"""How a provider's Responses API differs from the common ground; one row of providers.toml each."""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

from claude_code_proxy.dialects.quirks import reader


class Quirks(Struct, frozen=True, forbid_unknown_fields=True):
    """Deviations, with the safest choice for an unknown server as default.

    system_role: the role of system messages between turns; "user" makes them part of a user message.
    files: whether messages and results of calls take files (PDF).
    web_search: whether it has a web search of its own.
    summary: which summaries of the reasoning are asked for, if any. OpenAI shows them to verified
        organisations only.
    think_tags: whether its models leave reasoning in the text, between tags at the beginning.
    session_key: the field that takes a stable, anonymous key of the session, which steers prompt caches.
    session_header: the header that takes it.
    min_tokens: the smallest output limit that is taken.
    """

    system_role: Literal["developer", "system", "user"] = "developer"
    files: bool = False
    web_search: bool = False
    summary: Literal["", "off", "auto", "concise", "detailed"] = "auto"
    think_tags: bool = False
    session_key: str = ""
    session_header: str = ""
    min_tokens: int = 16


quirks_of: Final = reader(Quirks)
"""Reads the quirks of a provider's row."""
