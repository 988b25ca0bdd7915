"""`claude-code-proxy route MODEL`: where a request would go, without sending any."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from argparse import Namespace

    from claude_code_proxy.routing import Target
    from claude_code_proxy.settings import Settings


def command(arguments: Namespace) -> int:
    """Print the target; the exit status."""
    return run(arguments.route_model, arguments.url, arguments.kind, explain=arguments.explain)


def run(model: str, url: str, kind: str, *, explain: bool) -> int:
    """Print the target of `model` (and of what the URL names before /v1/messages); the exit status.

    `kind` is the kind of the request, as in [routing.kinds], or empty.
    """
    from claude_code_proxy.routing import route
    from claude_code_proxy.settings import SettingsError, load_settings
    from claude_code_proxy.tables import KINDS
    from claude_code_proxy.wire.failure import ApiError

    if kind and kind not in KINDS:
        sys.stderr.write(f"There is no kind {kind!r}, but {', '.join(KINDS)}.\n")
        return 1
    try:
        settings = load_settings()
        target = route(unquote(url).strip("/"), model, settings, kind)
    except (SettingsError, ApiError) as cause:
        sys.stderr.write(f"{cause}\n")
        return 1
    sys.stdout.write(_explained(target, model, settings) if explain else f"{target}\n")
    for fallback in target.fallbacks if explain else ():
        sys.stdout.write(f"then {_explained(fallback, model, settings)}")
    return 0


def _explained(target: Target, asked: str, settings: Settings) -> str:
    from claude_code_proxy.claude_code import advice
    from claude_code_proxy.windows import limits_of
    from claude_code_proxy.wire.failure import ApiError

    provider = target.provider
    try:
        key = "with its key" if provider.credentials() else "without a key"
    except ApiError as cause:
        key = str(cause)
    context = limits_of(provider, target.model, settings).context
    about = {"rule": target.rule, "address": provider.root or "none", "key": key, "dialect": provider.dialect}
    about["window"] = f"{context:,} tokens" if context else "not known, unless the provider's list tells it"
    if not provider.serves_claude and (line := advice(asked, str(target), context)):
        about["start"] = f"{line} claude, or: claude-code-proxy code --model {target}"
    return f"{target}\n" + "".join(f"  {name:<8} {value}\n" for name, value in about.items())
