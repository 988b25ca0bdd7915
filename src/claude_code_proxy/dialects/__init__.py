"""The wire formats, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from claude_code_proxy.dialects import anthropic, gemini, openai_chat, openai_responses

if TYPE_CHECKING:
    from claude_code_proxy.dialects.base import Dialect

_ALL: Final = (anthropic.DIALECT, openai_chat.DIALECT, openai_responses.DIALECT, gemini.DIALECT)

DIALECTS: Final[dict[str, Dialect]] = {dialect.name: dialect for dialect in _ALL}
"""Every dialect a provider may name."""
