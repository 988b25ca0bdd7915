"""`claude-code-proxy [serve]`: the proxy itself, until it is told to stop."""

from __future__ import annotations

import os
import signal
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

from claude_code_proxy.cli.ending import CommandError, loaded
from claude_code_proxy.cli.paint import painted
from claude_code_proxy.cli.ports import address, bound, here

if TYPE_CHECKING:
    import socket
    from argparse import Namespace
    from collections.abc import Iterator

    import uvicorn

    from claude_code_proxy.providers import Provider
    from claude_code_proxy.settings import Settings

_CONFIG = 78
"""The exit status that sysexits.h has for a configuration that cannot be used."""

_FACTORY = "claude_code_proxy.app:create_app"


def command(arguments: Namespace) -> int:
    """Serve as the arguments say; the exit status."""
    settings = loaded()
    if arguments.local and arguments.workers > 1:
        raise CommandError("--local runs in one process: leave out --workers, or --local.")
    from claude_code_proxy.app import bind_fault

    if fault := bind_fault(arguments.host, settings):
        raise CommandError(fault, _CONFIG)
    with bound(arguments.host, arguments.port) as listener:
        url = f"http://{address(here(arguments.host), listener.getsockname()[1])}"
        if arguments.with_stdin:
            threading.Thread(target=_stop_at_end_of_input, daemon=True).start()
        if arguments.local:
            return _serve_local(arguments, listener, url)
        if not arguments.with_stdin:
            sys.stderr.write(_banner(settings, url))
            sys.stderr.flush()
        _serve(arguments, listener)
    return 0


def config(app: Any, arguments: Namespace) -> uvicorn.Config:
    """How uvicorn runs, for every way of serving. `app` is the application, or the name of what makes it."""
    import uvicorn

    from claude_code_proxy.cli.logs import arranged

    return uvicorn.Config(
        app,
        host=arguments.host,
        port=arguments.port,
        factory=isinstance(app, str),
        workers=arguments.workers,
        proxy_headers=False,
        log_level="warning",
        access_log=False,
        log_config=arranged(arguments.log_format),
    )


def _serve(arguments: Namespace, listener: socket.socket) -> None:
    """Serve on the socket until a signal comes, in this process or in several."""
    import uvicorn

    if arguments.workers > 1:
        from uvicorn.supervisors import Multiprocess

        os.environ["PYTHONSAFEPATH"] = "1"  # the workers are new Pythons, which would import from the working directory
        Multiprocess(config(_FACTORY, arguments), sockets=[listener]).run()
        return
    from claude_code_proxy.app import create_app

    configured = config(None, arguments)  # the log is arranged before the application writes to it
    configured.app = create_app()
    uvicorn.Server(configured).run([listener])


def _serve_local(arguments: Namespace, listener: socket.socket, url: str) -> int:
    import asyncio

    from claude_code_proxy.local import LocalModelError

    try:
        asyncio.run(_with_local_model(arguments, listener, url))
    except LocalModelError as cause:
        raise CommandError(str(cause)) from None
    return 0


async def _with_local_model(arguments: Namespace, listener: socket.socket, url: str) -> None:
    from claude_code_proxy.cli.local_proxy import PROVIDER, extra_is_missing, rows
    from claude_code_proxy.local import INSTALL, LocalModelError

    if extra_is_missing():
        raise LocalModelError('The local model needs the optional extra "local".', f"Run: {INSTALL}")
    import uvicorn

    from claude_code_proxy.app import create_app
    from claude_code_proxy.cli.progress import shown
    from claude_code_proxy.local.fetch import find_model
    from claude_code_proxy.local.server import local_server
    from claude_code_proxy.settings import load_settings

    model = find_model(arguments.local)
    with shown(model) as (progress, finish):
        async with local_server(model, progress=progress) as upstream:
            finish()
            configured = config(None, arguments)
            configured.app = create_app(partial(load_settings, providers=rows(upstream)))
            # A small model needs small prompts: Claude Code without its tools and most of its instructions.
            line = (
                f"ANTHROPIC_BASE_URL={url}/{PROVIDER}:{model.name} ANTHROPIC_API_KEY=any "
                'claude --bare --tools "" -p "What is the capital of France?"'
            )
            sys.stderr.write(f"Claude Code Proxy on {url}\n\n  {line}\n\n")
            await uvicorn.Server(configured).serve([listener])


def _banner(settings: Settings, url: str) -> str:
    """Where it listens, what is ready, and how to start Claude Code."""
    from claude_code_proxy.cli.launch import line

    strong = partial(painted, style="strong", stream=sys.stderr)
    lines = [f"{strong('Claude Code Proxy')} on {strong(url)}", "", *_ready(settings), ""]
    lines += [*_dashboard(settings, url), "Start Claude Code in another terminal:", ""]
    lines += ["  claude-code-proxy code" + ("" if url.endswith(":4000") else f" --port {url.rpartition(':')[2]}")]
    lines += ["", "or by hand:", "", f"  {line(settings, url)}", "", ""]
    return "\n".join(lines)


def _dashboard(settings: Settings, url: str) -> Iterator[str]:
    """Where the dashboard is, if what it needs is installed and there is a ledger to show."""
    from importlib.util import find_spec

    if settings.proxy_ledger and all(find_spec(name) for name in ("jinja2", "pygal")):
        yield f"What it does, in a browser: {url}/dashboard"
        yield ""


def _ready(settings: Settings) -> Iterator[str]:
    """A line for each provider that has its key, one for all that need none, and what is missing."""
    from claude_code_proxy.cli.local_servers import NOTHING, nothing_is_set_up
    from claude_code_proxy.wire.failure import ApiError

    preferred = settings.providers[settings.preferred_provider]
    if nothing_is_set_up(settings):
        yield painted(f"  {NOTHING}", "note", sys.stderr)
    try:
        preferred.credentials()
    except ApiError as cause:
        where = "~/.config/claude-code-proxy/.env" if os.name == "posix" else "the .env in your config folder"
        yield painted(f"  not ready: {cause} ({where})", "note", sys.stderr)
    keyed = [row for row in settings.providers.values() if row.ready and row.api_key]
    width = max((len(row.name) for row in keyed), default=0)
    for row in sorted(keyed, key=lambda row: row.name != preferred.name):
        mark = "  (preferred)" if row.name == preferred.name else ""
        yield f"  {painted('ready', 'good', sys.stderr)}  {row.name:<{width}}  {row.host}{mark}"
    keyless = [_placed(row, preferred) for row in settings.providers.values() if row.ready and not row.api_key]
    if keyless:
        yield painted(f"  without a key: {', '.join(keyless)}", "faint", sys.stderr)


def _placed(row: Provider, preferred: Provider) -> str:
    return f"{row.name} at {row.host}" + (" (preferred)" if row.name == preferred.name else "")


def _stop_at_end_of_input() -> None:
    """Ask this process to stop when whoever started it is gone: its end of the pipe closes however it ends."""
    while os.read(0, 4096):
        pass
    signal.raise_signal(signal.SIGTERM)
