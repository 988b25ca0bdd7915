"""Doctor's look at Claude Code: is it there, and is anything set that leads it past the proxy."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from claude_code_proxy.cli.doctor.findings import Finding, Section
from claude_code_proxy.cli.ending import CommandError
from claude_code_proxy.cli.paint import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_LONGEST: Final = 20.0
"""Seconds for it to tell its version."""

_ADDRESS: Final = "ANTHROPIC_BASE_URL"
_PROXIES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_AROUND: Final = "NO_PROXY"
_HERE: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def look(port: int) -> Section:
    """The section. `port` is where the proxy runs on this machine."""
    from claude_code_proxy.cli.code import own_settings, user_settings

    file = user_settings()
    said = own_settings(file).get("env", {})
    own = {name: str(value) for name, value in said.items()} if isinstance(said, dict) else {}
    version, findings = _version()
    findings += _clashes(os.environ, port, "", "Use `claude-code-proxy code`, which takes it away, or unset it.")
    findings += _clashes(own, port, f" in {file}", "Remove it there: that file wins over the environment.")
    findings += _file(file)
    findings += _http_proxy({**os.environ, **own})
    return Section("Claude Code", tuple(findings), {"version": version, "settings": str(file)})


def _version() -> tuple[str, list[Finding]]:
    from claude_code_proxy.cli.code import found

    try:
        binary = found()
        done = subprocess.run([binary, "--version"], capture_output=True, timeout=_LONGEST, check=True)  # noqa: S603
    except CommandError as cause:
        return "", [Finding("note", *str(cause).split(" Install it: "))]
    except (OSError, subprocess.SubprocessError) as cause:
        return "", [Finding("bad", f"claude does not run: {cause}", "Install it anew.")]
    version = printable(done.stdout.decode(errors="replace").partition(" ")[0].strip())
    return version, [Finding("ok", f"{version} at {binary}")]


def _clashes(env: Mapping[str, str], port: int, where: str, fix: str) -> Iterator[Finding]:
    from claude_code_proxy.claude_code import facts

    for name, clash in facts().clashes.items():
        if env.get(name) and (not clash.with_ or env.get(clash.with_)):
            both = f" and {clash.with_} are both set" if clash.with_ else " is set"
            yield Finding("bad" if clash.breaks else "note", f"{name}{both}{where}: {clash.why}", fix)
    if (url := env.get(_ADDRESS)) and not _ours(url, port):
        text = (
            f"{_ADDRESS}{where} leads to {printable(urlsplit(url).netloc or url)}, not to port {port} of this machine"
        )
        yield Finding("note", text, fix)


def _ours(url: str, port: int) -> bool:
    try:
        place = urlsplit(url).hostname, urlsplit(url).port or 80
    except ValueError:
        return False
    return place[0] in _HERE and place[1] == port


def _file(file: os.PathLike[str]) -> Iterator[Finding]:
    import json
    from pathlib import Path

    try:
        content = json.loads(Path(file).read_text("utf-8"))
    except FileNotFoundError:
        return
    except (OSError, ValueError) as cause:
        yield Finding("bad", f"{file} cannot be read: {cause}", "Mend it: Claude Code leaves out what it cannot read.")
        return
    if isinstance(content, dict) and content.get("apiKeyHelper"):
        text = f"apiKeyHelper in {file}: what it prints is sent as the key where no token is set"
        yield Finding("note", text, "Set ANTHROPIC_AUTH_TOKEN, as `claude-code-proxy code` does.")


def _http_proxy(env: Mapping[str, str]) -> Iterator[Finding]:
    """An HTTP proxy that Claude Code would ask even for this machine."""
    through = [name for name in _PROXIES if env.get(name) or env.get(name.lower())]
    around = (env.get(_AROUND) or env.get(_AROUND.lower()) or "").replace(" ", "").split(",")
    if through and not {"*", *_HERE} & set(around):
        text = f"{' and '.join(through)} set, and NO_PROXY does not name this machine: requests to the proxy go there"
        fix = "export NO_PROXY=127.0.0.1,localhost, or use `claude-code-proxy code`, which does so."
        yield Finding("note", text, fix)
