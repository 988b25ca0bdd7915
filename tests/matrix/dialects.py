"""The dialects of the matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from e2e.tool_loop import Answered, answered, text_of
from upstreams import (
    Chat,
    FakeChat,
    FakeGemini,
    FakeMessages,
    FakeOllama,
    FakeResponses,
    Gemini,
    Http,
    Model,
    Msg,
    Resp,
    failure,
    thinking,
    tool_use,
)
from upstreams import Page as FoundPage
from upstreams import text as text_block
from upstreams.chat import USAGE as CHAT_USAGE
from upstreams.gemini import USAGE as GEMINI_USAGE
from upstreams.messages import USAGE
from upstreams.ollama import messages_error
from upstreams.responses import USAGE as RESPONSES_USAGE

from .dialect import Dialect, references

if TYPE_CHECKING:
    from collections.abc import Sequence

    from upstreams import Recorded

    from .dialect import Body, Page, Said

P, L = 210_000, 131_072
"""The prompt and the limit of an upstream that is asked for too much."""


class OpenAIChat(Dialect[Chat]):
    """Chat Completions, as OpenRouter has them."""

    name = "openai_chat"
    wish = "openrouter:qwen/some-model"
    second = "openrouter:qwen/another-model"
    searches = True

    def __init__(self) -> None:
        self.chat = FakeChat(base="/api/v1", extras=True)
        super().__init__(self.chat)

    @property
    def env(self) -> dict[str, str]:
        return {"OPENROUTER_BASE_URL": self.chat.api, "OPENROUTER_API_KEY": "canary-openrouter-key"}

    def reply(self, said: Said) -> Chat:
        usage = dict(CHAT_USAGE) | {"prompt_tokens": said.used, "total_tokens": said.used + 34}
        return Chat(said.text, said.calls, said.thought, usage, cited=[(page.url, page.title) for page in said.found])

    def failing(self, status: int, message: str) -> Http:
        return Http(status, {"error": {"message": message, "code": status}})

    @property
    def too_long(self) -> Http:
        return self.failing(
            400,
            f"This endpoint's maximum context length is {L} tokens. However, you requested about {P + 32_000} tokens "
            f"({P} of text input, 32000 in the output). Please reduce the length of either one.",
        )

    def answered(self, body: Body) -> list[Answered]:
        return answered(body)

    def tools(self, body: Body) -> list[str]:
        return [tool["function"]["name"] for tool in body.get("tools", ()) if "function" in tool]

    def is_search(self, body: Body) -> bool:
        return [tool["type"] for tool in body.get("tools", ())] == ["openrouter:web_search"]


class OpenAIResponses(Dialect[Resp]):
    """OpenAI's own Responses API."""

    name = "openai_responses"
    wish = "openai:gpt-5.4"
    second = "openai:gpt-5.4-mini"
    turns = "input"
    searches = True

    def __init__(self) -> None:
        self.responses = FakeResponses()
        super().__init__(self.responses)

    @property
    def env(self) -> dict[str, str]:
        return {"OPENAI_API_KEY": "canary-openai-key"}

    @property
    def config(self) -> str:
        return (
            f'[providers.openai]\nbase_url = "{self.responses.api}"\nbase_url_env = ""\ndialect = "openai_responses"\n'
            'quirks = { files = true, web_search = true, session_key = "prompt_cache_key" }\n'
        )

    def reply(self, said: Said) -> Resp:
        usage = dict(RESPONSES_USAGE) | {"input_tokens": said.used, "total_tokens": said.used + 34}
        found = [FoundPage(page.url, page.title) for page in said.found]
        summary = [said.thought] if said.thought else None if found else ()
        return Resp(said.text, said.calls, summary, query="plover" if found else "", pages=found, usage=usage)

    def failing(self, status: int, message: str) -> Http:
        error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
        return Http(status, {"error": error})

    @property
    def too_long(self) -> Http:
        message = "Your input exceeds the context window of this model. Please adjust your input and try again."
        error = {"message": message, "type": "invalid_request_error", "param": "input"}
        return Http(400, {"error": {**error, "code": "context_length_exceeded"}})

    def answered(self, body: Body) -> list[Answered]:
        return answered(body)

    def tools(self, body: Body) -> list[str]:
        return [tool["name"] for tool in body.get("tools", ())]

    def is_search(self, body: Body) -> bool:
        return [tool["type"] for tool in body.get("tools", ())] == ["web_search"]


class GoogleGemini(Dialect[Gemini]):
    """Gemini's own API."""

    name = "gemini"
    wish = "gemini:gemini-3-pro-preview"
    second = "gemini:gemini-3-flash-preview"
    turns = "contents"
    searches = True

    def __init__(self) -> None:
        self.gemini = FakeGemini()
        super().__init__(self.gemini)

    @property
    def env(self) -> dict[str, str]:
        return {"GEMINI_API_KEY": "canary-gemini-key", "GEMINI_API_BASE": self.gemini.api}

    def body(self, rec: Recorded) -> Body:
        return {"model": rec.path.rpartition("/")[2].partition(":")[0], **rec.json}

    def reply(self, said: Said) -> Gemini:
        usage = dict(GEMINI_USAGE) | {"promptTokenCount": said.used, "totalTokenCount": said.used + 34}
        return Gemini(said.text, said.calls, said.thought, usage, grounding=_grounding(said) if said.found else {})

    def failing(self, status: int, message: str) -> Http:
        words = {400: "INVALID_ARGUMENT", 404: "NOT_FOUND"}
        return Http(
            status if status != 529 else 503,
            {"error": {"code": status, "message": message, "status": words.get(status, "UNAVAILABLE")}},
        )

    @property
    def too_long(self) -> Http:
        return self.failing(400, f"The input token count ({P}) exceeds the maximum number of tokens allowed ({L}).")

    def answered(self, body: Body) -> list[Answered]:
        out: list[Answered] = []
        calls: dict[str, Body] = {}
        for part in (part for content in body["contents"] for part in content["parts"]):
            if call := part.get("functionCall"):
                calls[call["id"]] = call
            elif answer := part.get("functionResponse"):
                called = calls[answer["id"]]
                told = answer["response"].get("output") or answer["response"]["error"]
                out.append(Answered(called["id"], called["name"], called["args"], told))
        return out

    def tools(self, body: Body) -> list[str]:
        return [one["name"] for tool in body.get("tools", ()) for one in tool.get("functionDeclarations", ())]

    def is_search(self, body: Body) -> bool:
        return body.get("tools") == [{"googleSearch": {}}]


def _grounding(said: Said) -> Body:
    chunks = [{"web": {"uri": page.url, "title": page.title}} for page in said.found]
    support = {"segment": {"endIndex": len(said.text), "text": said.text}, "groundingChunkIndices": [0]}
    return {"webSearchQueries": ["plover"], "groundingChunks": chunks, "groundingSupports": [support]}


class Native(Dialect[Msg]):
    """Anthropic's own format."""

    native = True

    def reply(self, said: Said) -> Msg:
        blocks = [thinking(said.thought)] if said.thought else []
        blocks += _search(said.found) if said.found else []
        blocks += [text_block(said.text)] if said.text else []
        for call in said.calls:
            assert not isinstance(call.arguments, str)
            blocks.append(tool_use(call.name, call.arguments, call.id))
        return Msg(blocks, usage=dict(USAGE) | {"input_tokens": said.used})

    def answered(self, body: Body) -> list[Answered]:
        calls: dict[str, Body] = {}
        out: list[Answered] = []
        for message in body["messages"]:
            for block in message["content"] if isinstance(message["content"], list) else ():
                if block["type"] == "tool_use":
                    calls[block["id"]] = block
                elif block["type"] == "tool_result":
                    called = calls[block["tool_use_id"]]
                    out.append(Answered(called["id"], called["name"], called["input"], text_of(block.get("content"))))
        return out

    def tools(self, body: Body) -> list[str]:
        """A deferred tool is shown where something refers to it."""
        known = set(references(body["messages"]))
        return [
            tool["name"] for tool in body.get("tools", ()) if not tool.get("defer_loading") or tool["name"] in known
        ]

    def is_search(self, body: Body) -> bool:
        return [str(tool.get("type")).partition("_2")[0] for tool in body.get("tools", ())] == ["web_search"]


def _search(pages: Sequence[Page]) -> list[Body]:
    ident = "srvtoolu_01"
    hits = [
        {"type": "web_search_result", "url": page.url, "title": page.title, "encrypted_content": "c2VhbGVk"}
        for page in pages
    ]
    return [
        {"type": "server_tool_use", "id": ident, "name": "web_search", "input": {"query": "plover"}},
        {"type": "web_search_tool_result", "tool_use_id": ident, "content": hits},
    ]


class Anthropic(Native):
    """Anthropic itself."""

    name = "anthropic"
    wish = "anthropic:claude-sonnet-5-5"
    second = "anthropic:claude-haiku-5-5"
    searches = True

    def __init__(self) -> None:
        super().__init__(FakeMessages())

    @property
    def env(self) -> dict[str, str]:
        return {"ANTHROPIC_API_BASE": self.fake.url, "ANTHROPIC_API_KEY": "canary-anthropic-key"}

    def cached(self, body: Body) -> Body:
        # A deferred tool is in no prompt before something refers to it, and then in the conversation.
        tools = [tool for tool in body["tools"] if not tool.get("defer_loading")]
        # The attribution before the system prompt is Anthropic's own business.
        return {**body, "tools": tools, "system": body["system"][1:]}

    def failing(self, status: int, message: str) -> Http:
        kinds = {404: "not_found_error", 529: "overloaded_error"}
        return failure(status, kinds.get(status, "invalid_request_error"), message)

    @property
    def too_long(self) -> Http:
        return self.failing(400, f"prompt is too long: {P} tokens > {L} maximum")


class Ollama(Native):
    """Ollama's endpoint in Anthropic's format."""

    name = "ollama"
    wish = "ollama:some-model:8b"
    second = "ollama:another-model:8b"
    reads_pdf = False
    notes: ClassVar = {
        "web search": "By the user's own engine if one is set up, else by Ollama where it is signed in to ollama.com.",
        "schema": "Ollama does not hold the model to the schema.",
        "late tools": "Requests pass as they are: where Claude Code puts a tool that is found late amid the others, or starts with another attribution "
        "(`CLAUDE_CODE_ATTRIBUTION_HEADER=0` leaves it out), Ollama reads the prompt anew.",
    }

    def __init__(self) -> None:
        self.ollama = FakeOllama()
        self.ollama.models |= {name: Model(window=262_144) for name in ("some-model:8b", "another-model:8b")}
        super().__init__(self.ollama)

    @property
    def env(self) -> dict[str, str]:
        return {"OLLAMA_API_BASE": self.fake.url}

    def cached(self, body: Body) -> Body:
        return {**body, "system": body["system"][1:]}

    def failing(self, status: int, message: str) -> Http:
        kinds = {404: "not_found_error", 529: "overloaded_error"}
        return messages_error(status, kinds.get(status, "invalid_request_error"), message)

    @property
    def too_long(self) -> Http:
        return self.failing(400, "the input length exceeds the context length")

    def tools(self, body: Body) -> list[str]:
        return [tool["name"] for tool in body.get("tools", ())]

    @property
    def asked(self) -> list[Recorded]:
        return [rec for rec in self.fake.posts if rec.path == "/v1/messages"]


ALL: tuple[Dialect[Any], ...] = (OpenAIChat(), OpenAIResponses(), GoogleGemini(), Anthropic(), Ollama())
"""In the order of the table's columns."""
