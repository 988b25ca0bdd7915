"""Stands in for the native library in the child: the same few names, and a server that tells how it was set up."""

from __future__ import annotations

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

WAIT_POLICY_AT_IMPORT = os.environ.get("OMP_WAIT_POLICY")


class CommonParams(SimpleNamespace):
    def __init__(self) -> None:
        parts = ("model", "sampling", "cpuparams", "cpuparams_batch")
        super().__init__(**{name: SimpleNamespace() for name in parts})


class Server:
    def __init__(self, parameters: CommonParams) -> None:
        os.write(1, b"native code says something on standard output\n")
        if not Path(parameters.model.path).read_bytes().startswith(b"GGUF"):
            raise RuntimeError("Failed to init server, please check the input params.")
        seen = {**vars(parameters), "wait_policy": WAIT_POLICY_AT_IMPORT}
        body = json.dumps(seen, default=lambda o: sorted(o) if isinstance(o, set) else vars(o)).encode()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=http.serve_forever, daemon=True).start()
        self.listening_address = f"http://127.0.0.1:{http.server_port}"
