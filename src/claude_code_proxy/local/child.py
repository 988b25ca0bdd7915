"""The process that serves a model: llama.cpp's own HTTP server, on loopback, behind a key.

    CLAUDE_CODE_PROXY_LOCAL_KEY=... python -m claude_code_proxy.local.child MODEL.gguf ALIAS CONTEXT

Prints one line of JSON on standard output: `{"base_url": "http://127.0.0.1:PORT/v1"}` once the model
answers, or `{"error": ..., "fix": ...}` and exit code 1. It lives as long as its standard input stays open:
that closes with the parent however the parent ends, so no server is ever left over.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import threading
from typing import Any, Final

from claude_code_proxy.local import INSTALL

KEY_VARIABLE: Final = "CLAUDE_CODE_PROXY_LOCAL_KEY"
"""Holds the key that requests must carry: without one every page and user of this machine could ask the model."""

SETTINGS: Final[dict[str, object]] = {
    "port": 0,  # any free one
    "hostnames": ["127.0.0.1"],
    "cors_origins": "localhost",  # default *: any web page
    "endpoint_slots": False,  # it shows the prompts
    "ui": False,
    "n_parallel": 1,  # one user; more would each get a share of the context only
    "n_batch": 512,  # default 2048: a cancelled request holds the server until its batch is through, seconds on a CPU
    "cache_ram_mib": 256,  # default 8192
    "verbosity": 1,  # errors
}
"""Parameters of llama.cpp's server (xllamacpp 2026.10) that are set, and why they are not left as they are."""

SYSTEM_LIBRARIES: Final = {
    "libgomp.so.1": "apt-get install -y libgomp1",
    "libstdc++.so.6": "apt-get install -y libstdc++6",
}
"""What xllamacpp's Linux wheel takes from the system and slim images lack, and the Debian command that brings it."""


def main(arguments: list[str]) -> int:
    """Serve until standard input ends; 1 if that could not be started."""
    path, alias, context = arguments
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # native code may print; standard output is for the one line
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle; it then closes our input
    parent = threading.Thread(target=_leave_with_parent, daemon=True)
    parent.start()
    line, server = _start(path, alias, int(context))
    print(json.dumps(line), file=answer, flush=True)
    if server is not None:
        parent.join()
    return 1


def _leave_with_parent() -> None:
    try:
        while os.read(0, 4096):
            pass
    finally:
        os._exit(0)  # the native threads need no goodbye


def _start(path: str, alias: str, context: int) -> tuple[dict[str, str], object]:
    """The line to print, and the running server, which stops when it is collected."""
    # llama.cpp's threads spin between two steps of work. With the cores shared that halves the speed; sleeping
    # costs nothing. The library reads this once, when it is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        native = importlib.import_module("xllamacpp")
    except ImportError as error:
        fixes = (command for library, command in SYSTEM_LIBRARIES.items() if library in str(error))
        return {"error": f"xllamacpp cannot be loaded: {error}.", "fix": f"Run: {next(fixes, INSTALL)}"}, None
    try:
        server = native.Server(_parameters(native, path, alias, context))
    except RuntimeError as error:
        fix = f"Delete {path}, then run the command again to fetch it anew."
        return {"error": f"llama.cpp cannot load the model: {error}", "fix": fix}, None
    return {"base_url": f"{server.listening_address}/v1"}, server


def _parameters(native: Any, path: str, alias: str, context: int) -> object:
    parameters = native.CommonParams()
    for name, value in SETTINGS.items():
        setattr(parameters, name, value)
    parameters.api_keys = [os.environ[KEY_VARIABLE]]
    parameters.model.path = path
    parameters.model_alias = {alias}
    parameters.n_ctx = context
    parameters.sampling.temp = 0.0  # unless a request says otherwise
    # Generation waits for memory, not for arithmetic: one core fewer costs nothing and leaves one for the proxy.
    cores = _cores()
    parameters.cpuparams.n_threads = max(1, cores - 1)
    parameters.cpuparams_batch.n_threads = cores
    return parameters


def _cores() -> int:
    """Cores that this process may use, which in a container are often fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
