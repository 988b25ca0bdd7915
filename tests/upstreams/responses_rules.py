"""What api.openai.com accepts at /v1/responses without state, as data, and its words for what it does not."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from .chat_rules import Fault, translated

if TYPE_CHECKING:
    from collections.abc import Callable

Name = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]+$", min_length=1, max_length=64)]
CallId = Annotated[str, Meta(min_length=1, max_length=64)]
Url = Annotated[str, Meta(pattern=r"^(https?://|data:image/(png|jpeg|jpg|gif|webp);base64,[A-Za-z0-9+/]+=*$)")]
FileData = Annotated[str, Meta(pattern=r"^data:[a-z]+/[a-z.+-]+;base64,[A-Za-z0-9+/]+=*$")]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
Status = Literal["in_progress", "completed", "incomplete"]
Phase = Literal["commentary", "final_answer"]

REASONING_MODELS = ("gpt-5", "gpt-6", "o1", "o3", "o4", "codex-")
OTHER_MODELS = ("gpt-4", "gpt-3.5", "chatgpt-4")


class _Strict(Struct, forbid_unknown_fields=True):
    """An object that takes no field it does not know."""


class InputText(_Strict, tag_field="type", tag="input_text"):
    text: str


class InputImage(_Strict, tag_field="type", tag="input_image"):
    detail: Literal["auto", "low", "high", "original"]
    image_url: Url | UnsetType = UNSET
    file_id: str | UnsetType = UNSET


class InputFile(_Strict, tag_field="type", tag="input_file"):
    filename: str | UnsetType = UNSET
    file_data: FileData | UnsetType = UNSET
    file_url: str | UnsetType = UNSET
    file_id: str | UnsetType = UNSET


class OutputText(_Strict, tag_field="type", tag="output_text"):
    text: str
    annotations: list[dict[str, Any]]


class Refusal(_Strict, tag_field="type", tag="refusal"):
    refusal: str


class SummaryText(_Strict, tag_field="type", tag="summary_text"):
    text: str


class ReasoningText(_Strict, tag_field="type", tag="reasoning_text"):
    text: str


Parts: TypeAlias = Annotated[list[InputText | InputImage | InputFile], Meta(min_length=1)]


class InputMessage(_Strict, tag_field="type", tag="message"):
    """A message that is not one of the API's own outputs."""

    role: Literal["user", "system", "developer"]
    content: str | Parts


class SaidMessage(_Strict, tag_field="type", tag="message:assistant"):
    """Something an assistant said, here or elsewhere."""

    content: str
    role: Literal["assistant"] = "assistant"
    phase: Phase | UnsetType = UNSET


class OutputMessage(_Strict, tag_field="type", tag="message:output"):
    """A message as the API gave it."""

    id: Annotated[str, Meta(pattern="^msg_", max_length=64)]
    status: Status
    content: Annotated[list[OutputText | Refusal], Meta(min_length=1)]
    role: Literal["assistant"] = "assistant"
    phase: Phase | UnsetType = UNSET


class Reasoning(_Strict, tag_field="type", tag="reasoning"):
    id: Annotated[str, Meta(pattern="^rs_", max_length=64)]
    summary: list[SummaryText]
    encrypted_content: str | None = None
    content: list[ReasoningText] | UnsetType = UNSET
    status: Status | UnsetType = UNSET


class FunctionCall(_Strict, tag_field="type", tag="function_call"):
    call_id: CallId
    name: Name
    arguments: str
    id: Annotated[str, Meta(pattern="^fc_", max_length=64)] | UnsetType = UNSET
    status: Status | UnsetType = UNSET


class FunctionCallOutput(_Strict, tag_field="type", tag="function_call_output"):
    call_id: CallId
    output: str | Parts


class SearchAction(_Strict):
    type: Literal["search", "open_page", "find_in_page"]
    query: str | UnsetType = UNSET
    queries: list[str] | UnsetType = UNSET
    url: str | UnsetType = UNSET
    pattern: str | UnsetType = UNSET


class WebSearchCall(_Strict, tag_field="type", tag="web_search_call"):
    id: Annotated[str, Meta(pattern="^ws_", max_length=64)]
    status: Literal["in_progress", "searching", "completed", "failed"]
    action: SearchAction


Item: TypeAlias = (
    InputMessage | SaidMessage | OutputMessage | Reasoning | FunctionCall | FunctionCallOutput | WebSearchCall
)


class Function(_Strict, tag_field="type", tag="function"):
    name: Name
    parameters: dict[str, Any]
    strict: bool
    description: str | UnsetType = UNSET


class Filters(_Strict):
    allowed_domains: Annotated[list[str], Meta(min_length=1, max_length=100)]


class Location(_Strict):
    type: Literal["approximate"]
    city: str | UnsetType = UNSET
    country: Annotated[str, Meta(min_length=2, max_length=2)] | UnsetType = UNSET
    region: str | UnsetType = UNSET
    timezone: str | UnsetType = UNSET


class WebSearch(_Strict, tag_field="type", tag="web_search"):
    filters: Filters | UnsetType = UNSET
    user_location: Location | UnsetType = UNSET


class Chosen(_Strict):
    type: Literal["function"]
    name: Name


class Thinks(_Strict):
    effort: Effort | UnsetType = UNSET
    summary: Literal["auto", "concise", "detailed"] | UnsetType = UNSET


class Format(_Strict):
    type: Literal["json_schema"]
    name: Name
    schema: dict[str, Any]
    strict: bool | UnsetType = UNSET


class TextConfig(_Strict):
    format: Format | UnsetType = UNSET
    verbosity: Literal["low", "medium", "high"] | UnsetType = UNSET


class Counted(_Strict, kw_only=True):
    """The fields that the counter of input tokens takes."""

    model: Annotated[str, Meta(min_length=1)]
    input: Annotated[list[Item], Meta(min_length=1)]
    instructions: str | UnsetType = UNSET
    parallel_tool_calls: bool | UnsetType = UNSET
    reasoning: Thinks | UnsetType = UNSET
    text: TextConfig | UnsetType = UNSET
    tool_choice: Literal["none", "auto", "required"] | Chosen | UnsetType = UNSET
    tools: Annotated[list[Function | WebSearch], Meta(min_length=1, max_length=128)] | UnsetType = UNSET


class Request(Counted, kw_only=True):
    """The fields of the real request that a client without state may need."""

    store: Literal[False]
    include: list[Literal["reasoning.encrypted_content", "web_search_call.action.sources"]] = []
    max_output_tokens: Annotated[int, Meta(ge=16)] | UnsetType = UNSET
    max_tool_calls: Annotated[int, Meta(ge=1)] | UnsetType = UNSET
    metadata: dict[str, str] | UnsetType = UNSET
    prompt_cache_key: Annotated[str, Meta(max_length=64)] | UnsetType = UNSET
    safety_identifier: Annotated[str, Meta(max_length=128)] | UnsetType = UNSET
    service_tier: Literal["auto", "default", "flex", "priority"] | UnsetType = UNSET
    stream: bool = False
    temperature: Annotated[float, Meta(ge=0, le=2)] | UnsetType = UNSET
    top_p: Annotated[float, Meta(ge=0, le=1)] | UnsetType = UNSET


# -- reasoning that only this server reads


def sealed(model: str, ident: str, following: str) -> str:
    """Encrypted reasoning, which tells this server whose it is, and which item it belongs before."""
    return base64.urlsafe_b64encode(json.dumps([model, ident, following]).encode()).decode()


def _unsealed(content: str) -> list[str]:
    try:
        read: list[str] = json.loads(base64.urlsafe_b64decode(content))
    except (binascii.Error, ValueError):
        return []
    return read


def _name_of(item: Item) -> str:
    """What tells an item apart from others."""
    match item:
        case FunctionCall():
            return item.call_id
        case OutputMessage() | WebSearchCall():
            return item.id
        case _:
            return ""


# -- the rules


def _reasoning_stands_before_its_item(req: Counted) -> Fault | None:
    for n, item in enumerate(req.input):
        if not isinstance(item, Reasoning):
            continue
        following = next((one for one in req.input[n + 1 :] if not isinstance(one, Reasoning)), None)
        if following is None or isinstance(following, InputMessage | FunctionCallOutput):
            return Fault(
                f"Item '{item.id}' of type 'reasoning' was provided without its required following item.", "input"
            )
        if not item.encrypted_content:
            return Fault(
                f"Item with id '{item.id}' not found. Items are not persisted when `store` is set to false.", "input"
            )
        if _unsealed(item.encrypted_content) != [req.model, item.id, _name_of(following)]:
            return Fault(
                f"The encrypted content for item {item.id} could not be verified.", None, "invalid_encrypted_content"
            )
    return None


def _calls_and_outputs_pair(req: Counted) -> Fault | None:
    calls = [item.call_id for item in req.input if isinstance(item, FunctionCall)]
    if len(set(calls)) < len(calls):
        return Fault("Duplicate value for 'call_id' in input.", "input")
    open_calls: set[str] = set()
    for item in req.input:
        if isinstance(item, FunctionCall):
            open_calls.add(item.call_id)
        elif isinstance(item, FunctionCallOutput):
            if item.call_id not in open_calls:
                return Fault(f"No tool call found for function call output with call_id {item.call_id}.", "input")
            open_calls.remove(item.call_id)
    if open_calls:
        return Fault(f"No tool output found for function call {min(open_calls)}.", "input")
    return None


def _ids_are_unique(req: Counted) -> Fault | None:
    ids = [item.id for item in req.input if isinstance(item, OutputMessage | Reasoning | FunctionCall | WebSearchCall)]
    known = [ident for ident in ids if ident is not UNSET]
    twice = next((ident for n, ident in enumerate(known) if ident in known[:n]), None)
    return Fault(f"Duplicate item found with id {twice}. Remove duplicate items.", "input") if twice else None


def _supported(req: Counted) -> Fault | None:
    if req.model.startswith(REASONING_MODELS):
        for name in ("temperature", "top_p"):
            if getattr(req, name, UNSET) is not UNSET:
                return Fault(f"Unsupported parameter: '{name}' is not supported with this model.", name)
    if not req.model.startswith(OTHER_MODELS):
        return None
    if req.reasoning is not UNSET:
        return Fault("Unsupported parameter: 'reasoning.effort' is not supported with this model.", "reasoning.effort")
    if "reasoning.encrypted_content" in getattr(req, "include", ()):
        return Fault("Encrypted content is not supported with this model.", "include")
    return None


def _tools(req: Counted) -> Fault | None:
    tools = [] if req.tools is UNSET else req.tools
    if not tools and not (req.tool_choice is UNSET and req.parallel_tool_calls is UNSET):
        return Fault("Tool choice must be specified with 'tools'.", "tool_choice")
    names = [tool.name for tool in tools if isinstance(tool, Function)]
    if isinstance(req.tool_choice, Chosen) and req.tool_choice.name not in names:
        return Fault(f"Tool choice '{req.tool_choice.name}' not found in 'tools' parameter.", "tool_choice")
    for tool in tools:
        if not isinstance(tool, Function):
            continue
        said = f"Invalid schema for function '{tool.name}': "
        top = {"oneOf", "anyOf", "allOf", "enum", "not"} & tool.parameters.keys()
        if tool.parameters.get("type") != "object" or top:
            words = "schema must have type 'object' and not have 'oneOf'/'anyOf'/'allOf'/'enum'/'not' at the top level."
            return Fault(said + words, "tools", "invalid_function_parameters")
        if "properties" not in tool.parameters:
            words = "In context=(), object schema missing properties."
            return Fault(said + words, "tools", "invalid_function_parameters")
    if "web_search_call.action.sources" in getattr(req, "include", ()) and not any(
        isinstance(tool, WebSearch) for tool in tools
    ):
        return Fault("Sources are included only with web search.", "include")
    return None


RULES: tuple[Callable[[Counted], Fault | None], ...] = (
    _calls_and_outputs_pair,
    _ids_are_unique,
    _reasoning_stands_before_its_item,
    _supported,
    _tools,
)


def fault_of(raw: bytes, *, counting: bool = False) -> Fault | None:
    """Say what is wrong with this request, or with one for a count; or None."""
    try:
        body = msgspec.json.decode(raw)
    except msgspec.DecodeError:
        return Fault("We could not parse the JSON body of your request.")
    for item in body.get("input", []) if isinstance(body.get("input"), list) else []:
        if item.get("type", "message") == "message" and item.get("role") == "assistant":
            item["type"] = "message:output" if "id" in item else "message:assistant"
    try:
        req: Counted = msgspec.convert(body, Counted if counting else Request)
    except msgspec.ValidationError as refused:
        return translated(str(refused))
    return next((fault for rule in RULES if (fault := rule(req))), None)
