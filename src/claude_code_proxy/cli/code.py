"""`claude-code-proxy code`: Claude Code on the proxy, which is started too unless one runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from claude_code_proxy.cli.child import run_in_terminal
from claude_code_proxy.cli.commands import PORT
from claude_code_proxy.cli.ending import CommandError, loaded
from claude_code_proxy.cli.ports import free_port, holder
from claude_code_proxy.cli.running import ask, greeting

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator, Mapping

    from claude_code_proxy.cli.launch import Aim
    from claude_code_proxy.settings import Settings

_HERE: Final = "127.0.0.1"
_START: Final = 30.0
"""Seconds for a proxy to start."""

_STOP: Final = 5.0
"""Seconds for one to stop."""

_LOG_SIZE: Final = 4 << 20
"""Bytes from which on the log is begun anew."""

_FOLDER: Final = "CLAUDE_CONFIG_DIR"
"""Claude Code's variable for the folder of its settings."""

_HTTP_PROXIES: Final = ("http_proxy", "https_proxy", "all_proxy")


def command(arguments: Namespace) -> int:
    """Run Claude Code; its exit status is ours."""
    from claude_code_proxy.cli.launch import MODEL, aim, variables
    from claude_code_proxy.wire.failure import ApiError

    binary, settings, beyond = found(), loaded(), arguments.beyond
    named = arguments.model or _option(beyond, "--model") or os.environ.get(MODEL, "")
    with ExitStack() as stack:
        try:
            aimed = aim(settings, named)
            port = _running(arguments.port, settings)
            if not port:  # one that runs has settings of its own
                aimed.target.provider.check()
        except ApiError as cause:
            raise CommandError(f"{cause}\n{_advice(settings)}") from None
        port = port or stack.enter_context(_proxy(arguments.port or free_port()))
        aimed = _asked(settings, port, aimed)
        made = variables(settings, f"http://{_HERE}:{port}", aimed, arguments.model)
        env = environment(os.environ, made)
        window = f", {aimed.context:,} tokens" if aimed.context else ""
        sys.stderr.write(f"Claude Code on {aimed.target}{window}, through http://{_HERE}:{port}\n")
        sys.stderr.flush()
        more = stack.enter_context(_insisting(env, made, beyond))
        return run_in_terminal([binary, *more, *beyond], env)


def _advice(settings: Settings) -> str:
    from claude_code_proxy.cli.local_servers import NOTHING, nothing_is_set_up

    return NOTHING if nothing_is_set_up(settings) else "`claude-code-proxy doctor` says what is set up."


def found() -> str:
    """Claude Code's program: on PATH, or where its installers put it. Raises `CommandError`."""
    from claude_code_proxy.claude_code import facts

    places = (str(path) for place in facts().places if os.access(path := Path(place).expanduser(), os.X_OK))
    if binary := shutil.which("claude") or next(places, None):
        return binary
    raise CommandError(f"Claude Code is not on PATH. Install it: {facts().install}")


def environment(held: Mapping[str, str], made: Mapping[str, str]) -> dict[str, str]:
    """The environment of Claude Code: the user's, with what leads to the proxy, without what leads past it.

    Of the rest what the user has set stays: a model of their own, a window.
    """
    from claude_code_proxy.claude_code import facts
    from claude_code_proxy.cli.launch import ADDRESS, MODEL, TOKEN

    env = {name: value for name, value in held.items() if name not in facts().clashes}
    if any(env.get(name) or env.get(name.upper()) for name in _HTTP_PROXIES):
        for name in ("no_proxy", "NO_PROXY"):  # Claude Code would ask for this machine elsewhere
            env[name] = ",".join(filter(None, [env.get(name, ""), _HERE, "localhost"]))
    ours = {ADDRESS, TOKEN, MODEL}
    return env | {name: value for name, value in made.items() if name in ours or not env.get(name)}


def overriding(made: Mapping[str, str]) -> dict[str, str]:
    """What must be said against the user's own settings of Claude Code, which win over the environment."""
    from claude_code_proxy.claude_code import facts

    wanted = {**dict.fromkeys(facts().clashes, ""), **made}
    said = own_settings(user_settings()).get("env", {})
    env = said if isinstance(said, dict) else {}
    return {name: value for name, value in wanted.items() if name in env and str(env[name]) != value}


def user_settings() -> Path:
    """The file of the user's own settings of Claude Code."""
    return Path(os.environ.get(_FOLDER) or "~/.claude").expanduser() / "settings.json"


def own_settings(file: Path) -> dict[str, Any]:
    """What the file says; nothing if it is not there or cannot be used."""
    with suppress(OSError, ValueError):
        content = json.loads(file.read_text("utf-8"))
        return content if isinstance(content, dict) else {}
    return {}


@contextmanager
def _insisting(env: Mapping[str, str], made: Mapping[str, str], beyond: list[str]) -> Iterator[list[str]]:
    """Arguments that have our variables win over those of the user's own settings of Claude Code."""
    against = overriding({name: env[name] for name in made})
    if not against:
        yield []
        return
    if "--settings" in beyond:
        sys.stderr.write(f"~/.claude/settings.json sets {', '.join(against)}: remove that, or your --settings.\n")
        yield []
        return
    with tempfile.TemporaryDirectory(prefix="claude-code-proxy-") as folder:  # nobody else may look into it
        file = Path(folder, "settings.json")
        file.write_text(json.dumps({"env": against}), "utf-8")
        yield ["--settings", str(file)]


def _running(port: int | None, settings: Settings) -> int:
    """The port of a proxy that runs at the wanted one; 0 if it is free for us. Raises `CommandError`.

    PROXY_API_KEY goes to a proxy of the same user only, as far as it can be told whose one is.
    """
    wanted = PORT if port is None else port
    if not wanted:
        return 0
    if greeting(_HERE, wanted):
        uid = holder(wanted).uid
        if uid > 0 and uid != os.getuid() and settings.proxy_api_key:
            raise CommandError(
                f"The proxy on port {wanted} is another user's (uid {uid}), who would get your PROXY_API_KEY."
                " Use one of your own: claude-code-proxy code --port 0"
            )
        return wanted
    if port and holder(port).uid >= 0:
        raise CommandError(f"Port {port} is taken by {holder(port)}. Any free one: claude-code-proxy code --port 0")
    return 0


@contextmanager
def _proxy(port: int) -> Iterator[int]:
    """A proxy of our own on this port, until the block ends, however this process does."""
    log = _log_file()
    with log.open("ab") as out:
        if out.tell() > _LOG_SIZE:
            out.truncate(0)
        began = out.tell()
        process = subprocess.Popen(  # noqa: S603 # our own program
            # -P: nothing of the folder that it is started in is imported.
            [sys.executable, "-P", "-m", "claude_code_proxy", "serve", "--port", str(port), "--with-stdin"],
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=out,
            cwd=log.parent,
            start_new_session=True,  # keys that are pressed in this terminal are for Claude Code
        )
    try:
        _wait(process, port, log, began)
        yield port
    finally:
        if process.stdin:
            process.stdin.close()
        try:
            process.wait(_STOP)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path, began: int) -> None:
    late = time.monotonic() + _START
    while ask(_HERE, port, "/readyz")[0] != 200:
        if process.poll() is not None or time.monotonic() > late:
            said = log.read_bytes()[began:].decode(errors="replace").strip()
            raise CommandError(f"The proxy did not start. It said:\n{said}")
        time.sleep(0.02)


def _log_file() -> Path:
    """Where a proxy that we start writes its log: the terminal is Claude Code's."""
    from platformdirs import user_log_path

    from claude_code_proxy.settings import APP

    path = user_log_path(APP) / "code.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except OSError as cause:
        raise CommandError(f"The log cannot be written: {cause}") from None
    return path


def _asked(settings: Settings, port: int, aimed: Aim) -> Aim:
    """The aim with the window that the model's provider tells, where that is not known otherwise."""
    if aimed.context or aimed.target.provider.serves_claude:
        return aimed
    place = f"/v1/models/{quote(str(aimed.target), safe=':/')}"
    _, told = ask(_HERE, port, place, settings.proxy_api_key, within=3.0)
    context = told.get("max_input_tokens", 0) if isinstance(told, dict) else 0
    return aimed._replace(context=context) if isinstance(context, int) else aimed


def _option(words: list[str], name: str) -> str:
    """The value of an option on Claude Code's command line; empty if it is not there."""
    for word, after in zip(words, [*words[1:], ""], strict=False):
        if word == name:
            return after
        if word.startswith(f"{name}="):
            return word.removeprefix(f"{name}=")
    return ""
