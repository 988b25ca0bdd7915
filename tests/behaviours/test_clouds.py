"""Behaviour 39: Gemini on Vertex AI, or no word of it."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from claude_code_proxy.providers import load_providers
from upstreams import FakeGemini, Gemini, Http
from upstreams.server import Fake

from .stage import KEYS, hello, post

if TYPE_CHECKING:
    from upstreams import Recorded

    from .stage import Stage

pytestmark = pytest.mark.asyncio(loop_scope="session")

ROOT = Path(__file__).parents[2]
TOKEN = "canary-of-google"


class Tokens(Fake[Gemini]):
    """Google's token endpoint."""

    def front(self, rec: Recorded) -> Http:
        assert b"assertion=" in rec.raw
        return Http(200, {"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"})

    def render(self, reply: Gemini, rec: Recorded) -> Http:
        raise NotImplementedError

    def account(self) -> str:
        """A service account that asks here."""
        rsa = import_module("cryptography.hazmat.primitives.asymmetric.rsa")
        form = import_module("cryptography.hazmat.primitives.serialization")
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()).decode()
        who = {"type": "service_account", "client_email": "me@proj.iam.gserviceaccount.com", "private_key": pem}
        return json.dumps({**who, "project_id": "proj", "private_key_id": "1", "client_id": "1", "token_uri": self.url})


async def test_39_vertex_is_kept_or_openly_dropped(stage: Stage, tmp_path: Path) -> None:
    """With the seed's three variables; Gemini's key stays here."""
    if "vertex" not in load_providers({}):
        pages = [ROOT / "README.md", ROOT / ".env.example", *(ROOT / "docs").rglob("*.md")]
        assert [page.name for page in pages if "VERTEX" in page.read_text("utf-8")] == []
        return
    base = "/v1/projects/proj/locations/us-central1/publishers/google"
    async with Tokens() as tokens, FakeGemini([Gemini("Hello")], base=base, bearer=True) as vertex:
        file = tmp_path / "account.json"
        file.write_text(tokens.account())
        place = {"VERTEX_PROJECT": "proj", "VERTEX_LOCATION": "us-central1", "VERTEX_API_BASE": f"{vertex.url}/v1"}
        url = await stage.serve(USE_VERTEX_AUTH="True", GOOGLE_APPLICATION_CREDENTIALS=str(file), **place)
        for stream in (False, True):
            for name, model in (
                ("/gemini:gemini-2.5-pro", "x"),
                ("/vertex:gemini-2.5-pro", "x"),
                ("", "gemini/gemini-2.5-pro"),
            ):
                answer = await post(url, f"{name}/v1/messages", hello(model, stream=stream))
                assert answer.status == 200, answer.body
        assert len(tokens.requests) == 1
        assert len(vertex.requests) == 6
        for rec in vertex.requests:
            assert rec.path.startswith(f"{base}/models/gemini-2.5-pro:")
            assert rec.headers["authorization"] == f"Bearer {TOKEN}"
            assert not any(key in f"{rec.headers} {rec.raw!r}" for key in KEYS.values())
    assert stage.asked() == {}
