"""What api.openai.com accepts at /v1/chat/completions, as data, and its words for what it does not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType

from .chat_extras import without_extras

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Name = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]+$", min_length=1, max_length=64)]
CallId = Annotated[str, Meta(min_length=1, max_length=40)]
Url = Annotated[str, Meta(pattern=r"^(https?://|data:image/(png|jpeg|jpg|gif|webp);base64,[A-Za-z0-9+/]+=*$)")]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]

# Model families: which parameters they know, and how much they write. Prefixes; the first that fits counts.
UNSUPPORTED: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("gpt-5", ("max_tokens", "stop")),
    ("gpt-6", ("max_tokens", "stop")),
    ("o1", ("max_tokens",)),
    ("o3", ("max_tokens", "stop")),
    ("o4", ("max_tokens", "stop")),
    ("gpt-4", ("reasoning_effort", "verbosity")),
)
LONGEST_OUTPUT: tuple[tuple[str, int], ...] = (("gpt-4.1", 32_768), ("gpt-4o", 16_384))


class _Strict(msgspec.Struct, forbid_unknown_fields=True):
    """An object that takes no field it does not know."""


class Breakpoint(_Strict):
    mode: Literal["explicit"]
    ttl: Literal["30m", "12h"] | UnsetType = UNSET


class TextPart(_Strict, tag_field="type", tag="text"):
    text: str
    prompt_cache_breakpoint: Breakpoint | UnsetType = UNSET


class RefusalPart(_Strict, tag_field="type", tag="refusal"):
    refusal: str


class ImageUrl(_Strict):
    url: Url
    detail: Literal["auto", "low", "high", "original"] | UnsetType = UNSET


class ImagePart(_Strict, tag_field="type", tag="image_url"):
    image_url: ImageUrl
    prompt_cache_breakpoint: Breakpoint | UnsetType = UNSET


class Audio(_Strict):
    data: str
    format: Literal["wav", "mp3"]


class AudioPart(_Strict, tag_field="type", tag="input_audio"):
    input_audio: Audio
    prompt_cache_breakpoint: Breakpoint | UnsetType = UNSET


class File(_Strict):
    file_data: str | UnsetType = UNSET
    filename: str | UnsetType = UNSET
    file_id: str | UnsetType = UNSET


class FilePart(_Strict, tag_field="type", tag="file"):
    file: File
    prompt_cache_breakpoint: Breakpoint | UnsetType = UNSET


Texts = str | Annotated[list[TextPart], Meta(min_length=1)]


class SystemMessage(_Strict, tag_field="role", tag="system"):
    content: Texts
    name: str | UnsetType = UNSET


class DeveloperMessage(_Strict, tag_field="role", tag="developer"):
    content: Texts
    name: str | UnsetType = UNSET


class UserMessage(_Strict, tag_field="role", tag="user"):
    content: str | Annotated[list[TextPart | ImagePart | AudioPart | FilePart], Meta(min_length=1)]
    name: str | UnsetType = UNSET


class CalledFunction(_Strict):
    name: Name
    arguments: str


class ToolCall(_Strict):
    id: CallId
    type: Literal["function"]
    function: CalledFunction


class AssistantMessage(_Strict, tag_field="role", tag="assistant"):
    content: str | Annotated[list[TextPart | RefusalPart], Meta(min_length=1)] | None = None
    refusal: str | None = None
    name: str | UnsetType = UNSET
    tool_calls: Annotated[list[ToolCall], Meta(min_length=1)] | UnsetType = UNSET
    audio: dict[str, str] | None = None


class ToolMessage(_Strict, tag_field="role", tag="tool"):
    tool_call_id: CallId
    content: Texts


Message: TypeAlias = SystemMessage | DeveloperMessage | UserMessage | AssistantMessage | ToolMessage


class Function(_Strict):
    name: Name
    description: str | UnsetType = UNSET
    parameters: dict[str, Any] | UnsetType = UNSET
    strict: bool | None = None


class Tool(_Strict):
    type: Literal["function"]
    function: Function


class ChosenName(_Strict):
    name: Name


class Chosen(_Strict):
    type: Literal["function"]
    function: ChosenName


class StreamOptions(_Strict):
    include_usage: bool | UnsetType = UNSET
    include_obfuscation: bool | UnsetType = UNSET


class Request(_Strict):
    """Every field of the real request; its types are loose where no proxy would go wrong."""

    model: Annotated[str, Meta(min_length=1)]
    messages: Annotated[list[Message], Meta(min_length=1)]
    audio: dict[str, Any] | None = None
    frequency_penalty: float | None = None
    function_call: Any = UNSET
    functions: Any = UNSET
    logit_bias: dict[str, int] | None = None
    logprobs: bool | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    metadata: dict[str, str] | None = None
    modalities: list[Literal["text", "audio"]] | None = None
    moderation: Any = UNSET
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    parallel_tool_calls: bool | UnsetType = UNSET
    prediction: dict[str, Any] | None = None
    presence_penalty: float | None = None
    prompt_cache_key: str | UnsetType = UNSET
    prompt_cache_options: dict[str, Any] | UnsetType = UNSET
    prompt_cache_retention: str | None = None
    reasoning_effort: Effort | None = None
    response_format: dict[str, Any] | UnsetType = UNSET
    safety_identifier: Annotated[str, Meta(max_length=128)] | UnsetType = UNSET
    seed: int | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority", "fast"] | None = None
    stop: str | Annotated[list[str], Meta(max_length=4)] | None = None
    store: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    tool_choice: Literal["none", "auto", "required"] | Chosen | UnsetType = UNSET
    tools: Annotated[list[Tool], Meta(min_length=1, max_length=128)] | UnsetType = UNSET
    top_logprobs: int | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    user: str | UnsetType = UNSET
    verbosity: Literal["low", "medium", "high"] | None = None
    web_search_options: dict[str, Any] | UnsetType = UNSET


@dataclass(frozen=True)
class Fault:
    """Why a request is refused, as OpenAI tells it."""

    message: str
    param: str | None = None
    code: str | None = None

    def body(self, kind: str = "invalid_request_error") -> dict[str, Any]:
        """Write it in OpenAI's shape."""
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}


def _tool_order(req: Request) -> Fault | None:
    """Find calls that are not answered at once, each by one tool message."""
    waiting: list[str] = []
    for i, message in enumerate([*req.messages, None]):
        if isinstance(message, ToolMessage):
            if message.tool_call_id not in waiting:
                return Fault(
                    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with "
                    "'tool_calls'.",
                    f"messages.[{i}].role",
                )
            waiting.remove(message.tool_call_id)
            continue
        if waiting:
            return Fault(
                "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
                f"'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(waiting)}",
                f"messages.[{i}].role",
            )
        calls = message.tool_calls if isinstance(message, AssistantMessage) else UNSET
        waiting = [] if calls is UNSET else [call.id for call in calls]
        if len(set(waiting)) < len(waiting):
            return Fault(f"Duplicate value for 'tool_call_id' in message[{i}]", "messages")
    return None


def _assistant_says_something(req: Request) -> Fault | None:
    for i, m in enumerate(req.messages):
        if isinstance(m, AssistantMessage) and m.content is None and m.tool_calls is UNSET and not m.refusal:
            return Fault(
                f"Invalid value for 'content': expected a string, got null. messages.[{i}]", f"messages.[{i}].content"
            )
    return None


def _one_limit(req: Request) -> Fault | None:
    if req.max_tokens is not None and req.max_completion_tokens is not None:
        return Fault(
            "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
            "max_tokens",
            "invalid_parameter_combination",
        )
    return None


def _long_output(req: Request) -> Fault | None:
    asked = req.max_completion_tokens or req.max_tokens or 0
    most = next((n for prefix, n in LONGEST_OUTPUT if req.model.startswith(prefix)), asked)
    if asked > most:
        return Fault(
            f"max_tokens is too large: {asked}. This model supports at most {most} completion tokens, whereas you "
            f"provided {asked}.",
            "max_tokens",
            "invalid_value",
        )
    return None


def _supported(req: Request) -> Fault | None:
    names = next((names for prefix, names in UNSUPPORTED if req.model.startswith(prefix)), ())
    for name in names:
        if getattr(req, name) is not None:
            return Fault(
                f"Unsupported parameter: '{name}' is not supported with this model.", name, "unsupported_parameter"
            )
    return None


def _needs_tools(req: Request) -> Fault | None:
    for name in ("tool_choice", "parallel_tool_calls"):
        if getattr(req, name) is not UNSET and req.tools is UNSET:
            return Fault(f"'{name}' is only allowed when 'tools' are specified.", name)
    return None


def _choice_is_there(req: Request) -> Fault | None:
    if isinstance(req.tool_choice, Chosen) and req.tools is not UNSET:
        wanted = req.tool_choice.function.name
        if wanted not in {tool.function.name for tool in req.tools}:
            return Fault(f"Tool choice '{wanted}' not found in 'tools' parameter.", "tool_choice")
    return None


def _needs_stream(req: Request) -> Fault | None:
    if req.stream_options is not None and not req.stream:
        return Fault("The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options")
    return None


def _schemas(req: Request) -> Fault | None:
    for i, tool in enumerate([] if req.tools is UNSET else req.tools):
        function, where = tool.function, f"tools[{i}].function.parameters"
        if function.parameters is UNSET:
            continue
        said = f"Invalid schema for function '{function.name}': "
        if function.parameters.get("type") != "object":
            return Fault(
                said + "schema must be a JSON Schema of 'type: \"object\"'.", where, "invalid_function_parameters"
            )
        if function.strict and not _closed(function.parameters):
            return Fault(
                said + "In context=(), 'additionalProperties' is required to be supplied and to be false, and "
                "'required' to hold every key in properties.",
                where,
                "invalid_function_parameters",
            )
    return None


def _closed(schema: Mapping[str, Any]) -> bool:
    complete = set(schema.get("properties", {})) == set(schema.get("required", []))
    return complete and schema.get("additionalProperties") is False


RULES: tuple[Callable[[Request], Fault | None], ...] = (
    _assistant_says_something,
    _tool_order,
    _one_limit,
    _long_output,
    _supported,
    _needs_tools,
    _choice_is_there,
    _needs_stream,
    _schemas,
)

# msgspec's words, and OpenAI's for the same.
_WORDS: tuple[tuple[str, str, str], ...] = (
    (r"contains unknown field `([^`]*)`", "Unknown parameter: '{at}'.", "unknown_parameter"),
    (r"missing required field `([^`]*)`", "Missing required parameter: '{at}'.", "missing_required_parameter"),
    (r"Invalid value '([^']*)'", "Invalid value: '{word}'. ({at})", "invalid_value"),
    (r"of length <= (\d+)", "Invalid '{at}': too long. Expected a maximum length of {word}.", "above_max_length"),
    (r"of length >= (\d+)", "Invalid '{at}': too short. Expected a minimum length of {word}.", "below_min_length"),
    (r"matching regex (.*)", "Invalid '{at}': does not match pattern. Expected {word}.", "invalid_value"),
    (r"(Expected .*)", "Invalid type for '{at}': {word}.", "invalid_type"),
    (r"(.*)", "{word} ({at})", "invalid_value"),
)


def fault_of(raw: bytes, *, extras: bool = False) -> Fault | None:
    """Say what is wrong with this request, or None. `extras`: the server is one that takes more than OpenAI."""
    try:
        req = msgspec.json.decode(without_extras(raw) if extras else raw, type=Request)
    except msgspec.ValidationError as refused:
        return translated(str(refused))
    except msgspec.DecodeError:
        return Fault("We could not parse the JSON body of your request.")
    return next((fault for rule in RULES if (fault := rule(req))), None)


def translated(said: str) -> Fault:
    """Say in OpenAI's words what msgspec found wrong."""
    reason, _, where = said.partition(" - at `$")
    where = where.rstrip("`").removeprefix(".")
    for pattern, words, code in _WORDS:
        if found := re.search(pattern, reason):
            named = code in {"unknown_parameter", "missing_required_parameter"}
            at = ".".join(filter(None, (where, found[1]))) if named else where
            return Fault(words.format(at=at, word=found[1]), at, code)
    raise AssertionError(said)
