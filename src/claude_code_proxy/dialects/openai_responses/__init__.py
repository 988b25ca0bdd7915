"""OpenAI's Responses API, used without state on its side.

`request` translates a request, `history` its conversation, `reply` reads the answer, `output` its items. What
has no place in Anthropic's format (reasoning that only its model can read, phases, ids of items) is `carried`
home in the signatures of thinking blocks. What one provider does differently is a quirk: data in
providers.toml, described at `quirks.Quirks`.
"""

from __future__ import annotations

from typing import Final

from claude_code_proxy.dialects.base import Dialect
from claude_code_proxy.dialects.openai_responses.failure import failure
from claude_code_proxy.dialects.openai_responses.reply import reply
from claude_code_proxy.dialects.openai_responses.request import count, request

DIALECT: Final = Dialect("openai_responses", request, reply, failure, count=count)
