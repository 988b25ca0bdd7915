"""`claude-code-proxy route MODEL`: where a request would go, without sending any."""

from __future__ import annotations

import sys


def run(model: str, url: str, *, explain: bool) -> int:
    """Print the target of `model` (and of what the URL names before /v1/messages); the exit status."""
    from claude_code_proxy.routing import route
    from claude_code_proxy.settings import SettingsError, load_settings
    from claude_code_proxy.wire.failure import ApiError

    try:
        target = route(url.strip("/"), model, load_settings())
    except (SettingsError, ApiError) as cause:
        sys.stderr.write(f"{cause}\n")
        return 1
    sys.stdout.write(f"{target}\n")
    if explain:
        provider = target.provider
        try:
            key = "with its key" if provider.credentials() else "without a key"
        except ApiError as cause:
            key = str(cause)
        sys.stdout.write(f"  rule     {target.rule}\n  address  {provider.root}\n  key      {key}\n")
        sys.stdout.write(f"  dialect  {provider.for_model(target.model).dialect}\n")
    return 0
