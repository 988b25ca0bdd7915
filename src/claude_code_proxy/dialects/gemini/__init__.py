"""Google's own generateContent, as the Gemini API and Vertex AI speak it.

`request` translates a request, `contents` its conversation, `reply` reads the answer, `signatures` is how the
thought signatures come home. What differs from place to place is a quirk: data, described at `quirks.Quirks`.
"""

from __future__ import annotations

from typing import Final

from claude_code_proxy.dialects.base import Dialect
from claude_code_proxy.dialects.gemini.failure import failure
from claude_code_proxy.dialects.gemini.reply import reply
from claude_code_proxy.dialects.gemini.request import count, request

DIALECT: Final = Dialect("gemini", request, reply, failure, count=count)
