"""How Claude Code is started on a proxy: the variables that say where it is, and what its models are."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final, NamedTuple

from claude_code_proxy.claude_code import MAX_CONTEXT, believed
from claude_code_proxy.routing import VIA, route
from claude_code_proxy.tables import TIERS
from claude_code_proxy.windows import limits_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from claude_code_proxy.routing import Target
    from claude_code_proxy.settings import Settings

ADDRESS: Final = "ANTHROPIC_BASE_URL"
TOKEN: Final = "ANTHROPIC_AUTH_TOKEN"  # noqa: S105 # a name
MODEL: Final = "ANTHROPIC_MODEL"

_DEFAULT: Final = "opus"
"""The tier that Claude Code uses when it is told nothing."""

_ALWAYS: Final = {"CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY": "1"}


class Aim(NamedTuple):
    """What Claude Code is told to use, where that leads, and the window there in tokens, 0 if nobody knows."""

    model: str
    target: Target
    context: int


def aim(settings: Settings, model: str = "") -> Aim:
    """Where the main requests of Claude Code go with this model, or with none named.

    Claude's own names go under another that means the same here, unless Claude answers: of the ones that it
    knows Claude Code believes no window but its own. Raises `ApiError` for a model that leads nowhere.
    """
    target = route("", model or _DEFAULT, settings)
    tier = next((name for name in TIERS if name == (model or _DEFAULT).lower()), "")
    if tier and not target.provider.serves_claude:
        model = f"{VIA}{tier}"
    return Aim(model, target, limits_of(target.provider, target.model, settings).context)


def variables(settings: Settings, url: str, aimed: Aim, named: str = "") -> dict[str, str]:
    """The variables for Claude Code. `named` is the model that the user asked for, if any."""
    made = {ADDRESS: url, TOKEN: settings.proxy_api_key or "any", **_ALWAYS}
    for tier in TIERS:
        target = route("", tier, settings)
        if not target.provider.serves_claude:
            name = f"ANTHROPIC_DEFAULT_{tier.upper()}_MODEL"
            made |= {
                name: f"{VIA}{tier}",
                f"{name}_NAME": str(target),
                f"{name}_DESCRIPTION": f"in {tier.title()}'s place",
            }
    if named:
        made[MODEL] = aimed.model
        if aimed.model == named:  # its picker has a place for one model of the user's
            option = "ANTHROPIC_CUSTOM_MODEL_OPTION"
            made |= {option: named, f"{option}_NAME": str(aimed.target), f"{option}_DESCRIPTION": "as started"}
    return {**made, **window(aimed)}


def window(aimed: Aim) -> dict[str, str]:
    """The variables that tell the window, if it is known and smaller than Claude Code takes it for."""
    model = aimed.model or f"claude-{_DEFAULT}-5"
    if not aimed.context or aimed.target.provider.serves_claude:
        return {}
    taken = believed(model)
    if taken.fixed or aimed.context >= taken.context:
        return {}
    # Without the second it makes `X[1m]` of its default model, which has a million whatever else is said.
    return {MAX_CONTEXT: str(aimed.context), "CLAUDE_CODE_DISABLE_1M_CONTEXT": "1"}


def line(settings: Settings, url: str) -> str:
    """The shell's line that starts Claude Code on a proxy. PROXY_API_KEY is not in it."""
    aimed = aim(settings)
    key = '"$PROXY_API_KEY"' if settings.proxy_api_key else "any"
    told = {MODEL: aimed.model, **window(aimed)} if window(aimed) else {}
    return f"{ADDRESS}={url} {TOKEN}={key} {_assigned(told)}claude"


def _assigned(values: Mapping[str, str]) -> str:
    return "".join(f"{name}={shlex.quote(value)} " for name, value in values.items())
