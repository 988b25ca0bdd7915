"""`claude-code-proxy [serve]`: the proxy itself, until it is told to stop."""

from __future__ import annotations

import asyncio
import sys
from functools import partial

from claude_code_proxy.local import INSTALL, LocalModelError

_CONFIG = 78
"""The exit status that sysexits.h has for a configuration that cannot be used."""

_START = "Claude Code Proxy on {url}\n\n  {line}\n\n"


def run(host: str, port: int, local: str) -> int:
    """Serve on `host` and `port`, with the local model named `local` unless that is empty; the exit status."""
    from claude_code_proxy.app import bind_fault

    if fault := bind_fault(host):
        sys.stderr.write(fault)
        return _CONFIG
    try:
        asyncio.run(_serve_local(host, port, local) if local else _serve(host, port))
    except LocalModelError as cause:
        sys.stderr.write(f"{cause}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


async def _serve(host: str, port: int) -> None:
    import uvicorn

    from claude_code_proxy.app import create_app

    url = f"http://{host}:{port}"
    line = f"ANTHROPIC_BASE_URL={url} ANTHROPIC_AUTH_TOKEN=any claude"
    config = uvicorn.Config(
        create_app(), host=host, port=port, proxy_headers=False, log_level="warning", access_log=False
    )
    sys.stderr.write(_START.format(url=url, line=line))
    await uvicorn.Server(config).serve()


async def _serve_local(host: str, port: int, name: str) -> None:
    from claude_code_proxy.cli.local_proxy import PROVIDER, extra_is_missing, rows

    if extra_is_missing():
        raise LocalModelError('The local model needs the optional extra "local".', f"Run: {INSTALL}")
    import uvicorn

    from claude_code_proxy.app import create_app
    from claude_code_proxy.cli.progress import shown
    from claude_code_proxy.local.fetch import find_model
    from claude_code_proxy.local.server import local_server
    from claude_code_proxy.settings import load_settings

    model = find_model(name)
    with shown(model) as (progress, finish):
        async with local_server(model, progress=progress) as upstream:
            finish()
            app = create_app(partial(load_settings, providers=rows(upstream)))
            config = uvicorn.Config(
                app, host=host, port=port, proxy_headers=False, log_level="warning", access_log=False
            )
            url = f"http://{host}:{port}"
            # A small model needs small prompts: Claude Code without its tools and most of its instructions.
            line = (
                f"ANTHROPIC_BASE_URL={url}/{PROVIDER}:{model.name} ANTHROPIC_API_KEY=any "
                'claude --bare --tools "" -p "What is the capital of France?"'
            )
            sys.stderr.write(_START.format(url=url, line=line))
            await uvicorn.Server(config).serve()
