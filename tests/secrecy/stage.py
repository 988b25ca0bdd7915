"""A server that has a secret of every kind, and what may go wrong while it uses them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from canaries import canary
from faults.ops import CLOSE, KEEP, RESET, chunk, sized
from faults.replies import DIALECTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from faults.ops import Script
    from faults.replies import Reply

KEYS = {name: canary(name) for name in DIALECTS if name != "ollama"}
AWS_ID, AWS_SECRET, AWS_SESSION = canary("aws id"), canary("aws secret"), canary("aws session")
GOOGLE_TOKEN = canary("google token")
PROXY_KEY, CLIENT = canary("the proxy's own key"), canary("the client's own token")
SEARCH_KEY, WAY_OUT = canary("the search engine's key"), canary("the password of the way out")
PROMPT, ANSWER = canary("what the client says"), canary("what the model says")

OURS = (*KEYS.values(), AWS_ID, AWS_SECRET, AWS_SESSION, GOOGLE_TOKEN, PROXY_KEY, SEARCH_KEY, WAY_OUT)
"""What nobody may learn. A client may well read its own prompt."""

PLACES = {
    "openai_chat": "openrouter",
    "openai_responses": "openai",
    "gemini": "gemini",
    "ollama": "ollama",
    "anthropic": "anthropic",
    "anthropic at Bedrock": "bedrock",
    "gemini at Vertex": "vertex",
}
"""The provider by which each dialect is reached."""


KEY_OF = {
    "openai_chat": f"sk-or-{KEYS['openai_chat']}",
    "openai_responses": f"sk-proj-{KEYS['openai_responses']}",
    "gemini": KEYS["gemini"],
    "ollama": "",
    "anthropic": f"sk-ant-{KEYS['anthropic']}",
    "anthropic at Bedrock": AWS_SESSION,
    "gemini at Vertex": GOOGLE_TOKEN,
}
"""What proves to each who asks."""


def _echo(made: Reply, key: str, status: int) -> Script:
    said = f"Incorrect key provided: {key or 'none'} in: {PROMPT}."
    return [sized(made.error_body(said, status), status=status, x_echo=key or "none"), KEEP]


FAILURES: Mapping[str, Callable[[Reply, str], Script]] = {
    "success": lambda made, _: made.whole,
    "the key is refused, and repeated": lambda made, key: _echo(made, key, 401),
    "a bad request": lambda made, key: _echo(made, key, 400),
    "forbidden": lambda made, key: _echo(made, key, 403),
    "a limit": lambda made, key: _echo(made, key, 429),
    "its own mistake": lambda made, key: _echo(made, key, 500),
    "no JSON": lambda _, key: [sized(f"<html>{key} {PROMPT}".encode(), "text/html", 502), KEEP],
    "a redirect": lambda _, key: [sized(b"", status=307, location=f"http://127.0.0.1:9/?key={key}"), KEEP],
    "it is reset": lambda _, __: [RESET],
    "it is no HTTP": lambda _, key: [f"{key} {PROMPT}\r\n\r\n".encode(), CLOSE],
    "garbage": lambda made, _: [made.head, chunk(b"data: {" + PROMPT.encode() + b"\n\n"), b"0\r\n\r\n", KEEP],
    "it breaks off": lambda made, _: [made.head, chunk(made.body[: len(made.body) // 2]), RESET],
    "bad framing": lambda made, _: [made.head, b"zz" + ANSWER.encode() + b"\r\n", CLOSE],
}
"""How an upstream answers, given the answer that it should give and the key that it was asked with."""


def google_account(folder: Path, endpoint: str) -> tuple[Path, str]:
    """The file of a service account that gets its tokens at this endpoint, and the secret lines in it."""
    pem = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    account = {
        "type": "service_account",
        "project_id": "proj",
        "private_key_id": "1",
        "private_key": pem.decode(),
        "client_email": "me@proj.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": endpoint,
    }
    file = folder / "account.json"
    file.write_text(json.dumps(account), "utf-8")
    return file, pem.decode().splitlines()[5]


def environment(port: int, account: Path, config: Path) -> dict[str, str]:
    """The server's variables."""
    at = f"http://127.0.0.1:{port}"
    config.write_text(
        f'[providers.openai]\nbase_url = "{at}/v1"\nbase_url_env = ""\ndialect = "openai_responses"\n', "utf-8"
    )
    return {
        "CLAUDE_CODE_PROXY_CONFIG": str(config),
        "OPENAI_API_KEY": KEY_OF["openai_responses"],
        "OPENROUTER_API_KEY": KEY_OF["openai_chat"],
        "OPENROUTER_BASE_URL": f"{at}/api/v1",
        "GEMINI_API_KEY": KEYS["gemini"],
        "GEMINI_API_BASE": f"{at}/v1beta",
        "ANTHROPIC_API_KEY": KEY_OF["anthropic"],
        "ANTHROPIC_API_BASE": at,
        "OLLAMA_API_BASE": at,
        "OLLAMA_NUM_CTX": "0",
        "BEDROCK_API_BASE": at,
        "AWS_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": AWS_ID,
        "AWS_SECRET_ACCESS_KEY": AWS_SECRET,
        "AWS_SESSION_TOKEN": AWS_SESSION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "VERTEX_API_BASE": f"{at}/v1",
        "VERTEX_PROJECT": "proj",
        "VERTEX_LOCATION": "us-central1",
        "VERTEX_DIALECT": "gemini",
        "GOOGLE_APPLICATION_CREDENTIALS": str(account),
        "WEB_SEARCH": "brave",
        "WEB_SEARCH_API_KEY": SEARCH_KEY,
        "UPSTREAM_PROXY": f"http://user:{WAY_OUT}@127.0.0.1:9",
        "PROXY_API_KEY": PROXY_KEY,
        "PROXY_LEDGER": str(config.parent / "ledger.db"),
        "PROXY_CAPTURE": "true",
        "UPSTREAM_RETRIES": "1",
        "FIRST_BYTE_TIMEOUT": "5",
        "LOCAL_FIRST_BYTE_TIMEOUT": "5",
        "IDLE_TIMEOUT": "3",
    }
