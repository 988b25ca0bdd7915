"""A server that listens on all addresses: this machine needs no key, others do (S-10).

It runs in a network of its own, where an address that is not of this machine's loopback leads nowhere else.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from e2e.proxy import ROOT

OTHER, OTHER_6 = "192.0.2.1", "2001:db8::1"
NETWORK = f"""
ip link set lo up && ip address add {OTHER}/32 dev lo && {{ ip address add {OTHER_6}/128 dev lo || true; }} && exec "$@"
"""
IPV6 = pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="this machine has no IPv6")

ASK = """
import http.client, json, socket, subprocess, sys, time
host, *addresses = json.loads(sys.argv[1])
command = [sys.executable, "-m", "uvicorn", "server:app", *(["--uds", host] if "/" in host else ["--host", host])]
class Unix(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(host)
def ask(address, path="/v1/models"):
    line = Unix("localhost") if "/" in address else http.client.HTTPConnection(address, 4000, timeout=10)
    line.request("GET", path, headers={"host": "localhost"})
    return line.getresponse().status
server = subprocess.Popen([*command, "--port", "4000"], stderr=subprocess.PIPE, text=True)
try:
    for line in server.stderr:
        if "Uvicorn running" in line:
            break
    print(json.dumps({address: [ask(address), ask(address, "/healthz")] for address in addresses}))
finally:
    server.terminate()
    server.wait()
"""


def answers(tmp_path: Path, host: str, *addresses: str, **env: str) -> dict[str, list[int]]:
    """What a server on `host` answers at these addresses: the list of models, and how it is."""
    prefix = ["unshare", "--net", "sh", "-c", NETWORK, "sh"]
    tools = shutil.which("unshare") and shutil.which("ip")
    if not tools or subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no network of its own can be made here")
    clean = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "CLAUDE_CODE_PROXY_ENV_FILE": ""}
    command = [*prefix, sys.executable, "-c", ASK, json.dumps([host, *addresses])]
    done = subprocess.run(command, cwd=ROOT, env=clean | env, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    told: dict[str, list[int]] = json.loads(done.stdout)
    return told


@pytest.mark.parametrize("host", ["0.0.0.0", "0", ""])
@pytest.mark.fault("S-10", "S-11")
def test_all_addresses(tmp_path: Path, host: str) -> None:
    assert answers(tmp_path, host, "127.0.0.1", OTHER) == {"127.0.0.1": [200, 200], OTHER: [403, 200]}


@IPV6
@pytest.mark.fault("S-10")
def test_all_addresses_of_ipv6(tmp_path: Path) -> None:
    assert answers(tmp_path, "::", "::1", OTHER_6) == {"::1": [200, 200], OTHER_6: [403, 200]}


@pytest.mark.fault("S-10")
def test_another_address(tmp_path: Path) -> None:
    assert answers(tmp_path, OTHER, OTHER) == {OTHER: [403, 200]}


@pytest.mark.fault("S-10", "S-11")
def test_with_a_key(tmp_path: Path) -> None:
    told = answers(tmp_path, "0.0.0.0", "127.0.0.1", OTHER, PROXY_API_KEY="canary-of-the-proxy")
    assert told == {"127.0.0.1": [401, 200], OTHER: [401, 200]}


@pytest.mark.parametrize(
    ("published", "status"), [("127.0.0.1", 200), ("0.0.0.0", 403)], ids=["to this machine", "to others"]
)
@pytest.mark.fault("S-10")
def test_a_port_that_is_published(tmp_path: Path, published: str, status: int) -> None:
    """As in a container, where the address is not this machine's."""
    assert answers(tmp_path, "0.0.0.0", OTHER, PROXY_PUBLISHED_ON=published) == {OTHER: [status, 200]}


def test_a_unix_socket(tmp_path: Path) -> None:
    place = str(tmp_path / "proxy.sock")
    assert answers(tmp_path, place, place) == {place: [403, 200]}
    assert answers(tmp_path, place, place, PROXY_OPEN="true") == {place: [200, 200]}
