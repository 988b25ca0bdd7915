"""How large a model's context window is, how much it may say, and whether a request can fit at all. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from claude_code_proxy.dialects.models import rule_of
from claude_code_proxy.tables import Limits
from claude_code_proxy.wire.counting import at_most, count_surely
from claude_code_proxy.wire.failure import ApiError, Failed, failed

if TYPE_CHECKING:
    from claude_code_proxy.calibration import Factor
    from claude_code_proxy.providers import Provider
    from claude_code_proxy.settings import Settings
    from claude_code_proxy.wire.head import Head

_UNKNOWN = Limits()

LOUD: Final = 0.1
"""How far over the window a request must be, where the upstream says itself when one does not fit: it is the judge."""

SILENT: Final = 0.03
"""The same where the upstream drops what does not fit without a word (Ollama)."""


def limits_of(
    provider: Provider, model: str, settings: Settings, told: Limits = _UNKNOWN, *, held: int | None = None
) -> Limits:
    """The window and the output limit of a provider's model, in tokens; 0 where nobody knows.

    What the user's [models] say comes first, then what the provider's list has `told`, then what is known of the
    name. Where a window is made for the model (Ollama), `held` is the one that was, or 0 if it is not known; a model
    that was not asked yet gets no more than OLLAMA_NUM_CTX.
    """
    own, rule = settings.models.get(f"{provider.name}:{model}", _UNKNOWN), rule_of(model)
    context = own.context or told.context or rule.context
    if held is not None:
        context = min(own.context or held, held or own.context)
    elif provider.prepare == "ollama" and settings.ollama_num_ctx:
        context = min(context, settings.ollama_num_ctx)
    return Limits(context, own.max_output or told.max_output or rule.max_output)


def too_long(head: Head, context: int, factor: Factor, margin: float = LOUD) -> Failed | None:
    """The refusal of a request that surely does not fit the window, in the words that make Claude Code compact.

    None if it may fit, if the window is not known (0), or if the request is not one that can be counted. Nothing is
    parsed unless its bytes are so many that it might not fit: no token is smaller than a byte.
    """
    if not context or len(head.raw) <= context or at_most(head) * (least := factor.least(margin)) <= context:
        return None
    try:
        estimate = count_surely(head)
    except ApiError:  # whoever reads it will say what is wrong with it
        return None
    if estimate * least <= context:
        return None
    tokens = max(round(estimate * factor.mean), context + 1)
    return failed("invalid_request_error", f"prompt is too long: {tokens} tokens > {context} maximum", status=400)
