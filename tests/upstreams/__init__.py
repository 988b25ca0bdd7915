"""Loopback fakes of the upstreams: strict about what they are sent, scripted in what they answer."""

from .chat import Call, Chat, FakeChat
from .gemini import FakeGemini, Gemini
from .messages import FakeMessages, Msg, failure, text, thinking, tool_use
from .ollama import FakeOllama, Model
from .responses import FakeResponses, Page, Resp
from .server import Http, Raw, Recorded

__all__ = [
    "Call",
    "Chat",
    "FakeChat",
    "FakeGemini",
    "FakeMessages",
    "FakeOllama",
    "FakeResponses",
    "Gemini",
    "Http",
    "Model",
    "Msg",
    "Page",
    "Raw",
    "Recorded",
    "Resp",
    "failure",
    "text",
    "thinking",
    "tool_use",
]
