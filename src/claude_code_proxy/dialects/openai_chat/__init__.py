"""OpenAI's Chat Completions, as OpenAI and the many that follow it speak it.

`request` translates a request, `messages` its conversation, `reply` reads the answer. What one provider
does differently is a quirk: data in providers.toml, described at `quirks.Quirks`.
"""

from __future__ import annotations

from typing import Final

from claude_code_proxy.dialects import errors
from claude_code_proxy.dialects.base import Dialect
from claude_code_proxy.dialects.openai_chat.reply import reply
from claude_code_proxy.dialects.openai_chat.request import request

DIALECT: Final = Dialect("openai_chat", request, reply, errors.failure)
