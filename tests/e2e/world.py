"""The upstreams of the tests, and the settings by which the server finds them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from upstreams import FakeChat, FakeMessages, FakeResponses

    from .proxy import Proxy

# Canaries: each goes to its own upstream and nowhere else.
OPENAI_KEY = "canary-openai-key"
OPENROUTER_KEY = "canary-openrouter-key"
ANTHROPIC_KEY = "canary-anthropic-key"
SECRETS = (OPENAI_KEY, OPENROUTER_KEY, ANTHROPIC_KEY)

BIG = "gpt-5.4"
SMALL = "gpt-5.4-mini"


@dataclass
class World:
    """Two upstreams that speak OpenAI's dialect, two that speak Anthropic's, and the server before them."""

    chat: FakeChat
    router: FakeChat
    native: FakeMessages
    ollama: FakeMessages
    proxy: Proxy = field(init=False)

    @property
    def env(self) -> dict[str, str]:
        """The server's variables."""
        return {
            "PREFERRED_PROVIDER": "openai",
            "BIG_MODEL": BIG,
            "SMALL_MODEL": SMALL,
            "OPENAI_BASE_URL": self.chat.api,
            "OPENAI_API_KEY": OPENAI_KEY,
            "OPENROUTER_BASE_URL": self.router.api,
            "OPENROUTER_API_KEY": OPENROUTER_KEY,
            "ANTHROPIC_API_BASE": self.native.url,
            "ANTHROPIC_API_KEY": ANTHROPIC_KEY,
            "OLLAMA_API_BASE": self.ollama.url,
            "OLLAMA_NUM_CTX": "0",  # this fake knows the Messages API only; test_ollama.py has one that knows the rest
            # What a shell that runs Claude Code exports; a server that obeyed it would call itself.
            "ANTHROPIC_BASE_URL": "http://127.0.0.1:9/never",
            "ANTHROPIC_AUTH_TOKEN": "never",
        }

    @property
    def url(self) -> str:
        """Where the server is."""
        return self.proxy.url

    @property
    def upstreams(self) -> tuple[FakeChat | FakeMessages, ...]:
        """All of them."""
        return (self.chat, self.router, self.native, self.ollama)

    def only(self, used: FakeChat | FakeMessages) -> list[Any]:
        """Give the bodies this upstream was sent; no other may have been asked."""
        assert [up.requests for up in self.upstreams if up is not used] == [[], [], []]
        return [asked.json for asked in used.posts]


@dataclass
class Responses:
    """OpenAI itself, as far as the server before it can tell: its Responses API with all that it has."""

    fake: FakeResponses
    proxy: Proxy = field(init=False)

    @property
    def config(self) -> str:
        """The server's configuration."""
        return (
            f'[providers.openai]\nbase_url = "{self.fake.api}"\nbase_url_env = ""\ndialect = "openai_responses"\n'
            'quirks = { files = true, web_search = true, session_key = "prompt_cache_key" }\n'
        )

    @property
    def url(self) -> str:
        """Where the server is."""
        return self.proxy.url
