"""What Google accepts at generateContent, as data, and its words for what it does not."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from binascii import Error as NoBase64
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

STAND_IN = "skip_thought_signature_validator"
Name = Annotated[str, Meta(pattern=r"^[a-zA-Z_][a-zA-Z0-9_.:-]*$", max_length=64)]
IN_RESULTS = {"image/png", "image/jpeg", "image/webp", "application/pdf", "text/plain"}

# Families of models, by prefix; the first that fits counts.
LEVELS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("gemini-3-pro", ("LOW", "HIGH")),
    ("gemini-3.1-pro", ("LOW", "MEDIUM", "HIGH")),
    ("gemini-4", ("LOW", "MEDIUM", "HIGH")),
    ("gemini-3", ("MINIMAL", "LOW", "MEDIUM", "HIGH")),
)
BUDGETS: tuple[tuple[str, tuple[int, int, bool]], ...] = (  # least, most, whether 0 is taken
    ("gemini-2.5-pro", (128, 32768, False)),
    ("gemini-2.5-flash-lite", (512, 24576, True)),
    ("gemini-2.5-flash", (1, 24576, True)),
)
SIGNED = ("gemini-3", "gemini-4")
LONGEST_OUTPUT = (("gemini-2.0", 8192), ("", 65536))


class _Strict(msgspec.Struct, forbid_unknown_fields=True, rename="camel", omit_defaults=True):
    """An object that takes no field it does not know."""


class Blob(_Strict):
    mime_type: str
    data: str


class FileData(_Strict):
    file_uri: str
    mime_type: str | UnsetType = UNSET


class FunctionCall(_Strict):
    name: Name
    args: dict[str, Any] | UnsetType = UNSET
    id: str | UnsetType = UNSET


class ResponsePart(_Strict):
    inline_data: Blob


class FunctionResponse(_Strict):
    name: Name
    response: dict[str, Any]
    id: str | UnsetType = UNSET
    parts: list[ResponsePart] | UnsetType = UNSET


class Part(_Strict):
    text: str | UnsetType = UNSET
    inline_data: Blob | UnsetType = UNSET
    file_data: FileData | UnsetType = UNSET
    function_call: FunctionCall | UnsetType = UNSET
    function_response: FunctionResponse | UnsetType = UNSET
    executable_code: dict[str, Any] | UnsetType = UNSET
    code_execution_result: dict[str, Any] | UnsetType = UNSET
    thought: bool | UnsetType = UNSET
    thought_signature: str | UnsetType = UNSET

    @property
    def kinds(self) -> int:
        """How many kinds of data it holds."""
        held = (self.text, self.inline_data, self.file_data, self.function_call, self.function_response)
        return sum(one is not UNSET for one in (*held, self.executable_code, self.code_execution_result))


class Content(_Strict):
    parts: list[Part]
    role: str | UnsetType = UNSET


class Declaration(_Strict):
    name: Name
    description: str | UnsetType = UNSET
    parameters: dict[str, Any] | UnsetType = UNSET
    parameters_json_schema: dict[str, Any] | UnsetType = UNSET


class Tool(_Strict):
    function_declarations: list[Declaration] | UnsetType = UNSET
    google_search: dict[str, Any] | UnsetType = UNSET


class CallingConfig(_Strict):
    mode: Literal["AUTO", "ANY", "NONE", "VALIDATED"]
    allowed_function_names: list[str] | UnsetType = UNSET


class ToolConfig(_Strict):
    function_calling_config: CallingConfig


class Thinking(_Strict):
    include_thoughts: bool | UnsetType = UNSET
    thinking_budget: int | UnsetType = UNSET
    thinking_level: str | UnsetType = UNSET


class Config(_Strict):
    max_output_tokens: Annotated[int, Meta(ge=1)] | UnsetType = UNSET
    temperature: Annotated[float, Meta(ge=0, le=2)] | UnsetType = UNSET
    top_p: Annotated[float, Meta(ge=0, le=1)] | UnsetType = UNSET
    top_k: int | UnsetType = UNSET
    stop_sequences: Annotated[list[str], Meta(max_length=5)] | UnsetType = UNSET
    response_mime_type: str | UnsetType = UNSET
    response_json_schema: dict[str, Any] | UnsetType = UNSET
    thinking_config: Thinking | UnsetType = UNSET


class Request(_Strict):
    contents: Annotated[list[Content], Meta(min_length=1)]
    system_instruction: Content | UnsetType = UNSET
    tools: list[Tool] | UnsetType = UNSET
    tool_config: ToolConfig | UnsetType = UNSET
    generation_config: Config | UnsetType = UNSET


@dataclass(frozen=True)
class Asked:
    """A request, whom it asks, and the parts that this server signed, by signature."""

    body: Request
    model: str
    issued: Mapping[str, str]


Rule: TypeAlias = "Callable[[Asked], Iterator[str]]"


def mark_of(part: Mapping[str, Any]) -> str:
    """What tells a signed part from any other; the id of a call is the client's business."""
    if call := part.get("functionCall"):
        return json.dumps(["call", call["name"], call.get("args") or {}], sort_keys=True)
    return json.dumps(["thought" if part.get("thought") else "text", part.get("text", "")])


def _of(table: tuple[tuple[str, Any], ...], model: str) -> Any:
    return next((value for prefix, value in table if model.startswith(prefix)), None)


def _parts(asked: Asked) -> Iterator[str]:
    for n, content in enumerate(asked.body.contents):
        if content.role not in {"user", "model"}:
            yield "Please use a valid role: user, model."
        if not content.parts:
            yield f"* GenerateContentRequest.contents[{n}].parts: contents.parts must not be empty."
        for part in content.parts:
            if part.kinds != 1:
                yield f"contents[{n}].parts: required oneof field 'data' must have one initialized field"
            if part.text == "" and part.thought_signature is UNSET:
                yield "Unable to submit request because it must have a text parameter."
            data = part.inline_data
            if data is not UNSET and not _is_base64(data.data):
                yield "Base64 decoding failed"
            if part.function_response is not UNSET and part.thought_signature is not UNSET:
                yield "Thought signatures are not allowed on function responses."


def _is_base64(text: str) -> bool:
    try:
        return bool(b64decode(text, validate=True))
    except NoBase64:
        return False


def _order(asked: Asked) -> Iterator[str]:
    contents = asked.body.contents
    if contents[0].role != "user" or contents[-1].role != "user":
        yield "Please ensure that the conversation begins and ends with a user turn."
    if any(a.role == b.role for a, b in pairwise(contents)):
        yield "Please ensure that multiturn requests alternate between user and model."
    before: list[FunctionCall] = []
    for content in contents:
        calls = [part.function_call for part in content.parts if part.function_call is not UNSET]
        answers = [part.function_response for part in content.parts if part.function_response is not UNSET]
        if len(answers) != len(before):
            yield (
                "Please ensure that the number of function response parts is equal to the number of function call "
                "parts of the function call turn."
            )
        if [(one.name, one.id) for one in answers] != [(one.name, one.id) for one in before]:
            yield "Function responses do not match the calls of the turn before."
        if any(part.function_response is UNSET for part in content.parts[: len(answers)]):
            yield "Function responses must come first."
        if (calls and content.role != "model") or (answers and content.role != "user"):
            yield "Function calls are the model's, function responses the user's."
        before = calls


def _signatures(asked: Asked) -> Iterator[str]:
    for content in asked.body.contents:
        for part in content.parts:
            signed = part.thought_signature
            if signed is UNSET or signed == STAND_IN:
                continue
            if asked.issued.get(signed) != mark_of(msgspec.to_builtins(part)):
                yield "Corrupted thought signature."
    if not asked.model.startswith(SIGNED):
        return
    for n, content in enumerate(asked.body.contents):
        first = next((part for part in content.parts if part.function_call is not UNSET), None)
        if n > _turn_begins(asked.body.contents) and first and first.thought_signature is UNSET:
            yield (
                "Function call is missing a thought_signature in functionCall parts. This is required for tools to "
                "work correctly, and missing thought_signature may lead to degraded model performance."
            )


def _turn_begins(contents: list[Content]) -> int:
    """Where the user last said something that is no function response alone."""
    return max(
        n
        for n, content in enumerate(contents)
        if content.role == "user" and all(part.function_response is UNSET for part in content.parts)
    )


def _tools(asked: Asked) -> Iterator[str]:
    tools = [] if asked.body.tools is UNSET else asked.body.tools
    declared = [one for tool in tools for one in tool.function_declarations or ()]
    names = [one.name for one in declared]
    if len(set(names)) < len(names):
        yield f"Duplicate function declaration found: {names}"
    if declared and any(tool.google_search is not UNSET for tool in tools):
        yield "Tool use with function calling is unsupported"
    for one in declared:
        if one.parameters is not UNSET and one.parameters_json_schema is not UNSET:
            yield "parameters and parametersJsonSchema are mutually exclusive."
        if one.parameters is not UNSET:
            yield from schema_faults(one.parameters, OPENAPI, root=True)
        if one.parameters_json_schema is not UNSET:
            yield from schema_faults(one.parameters_json_schema, JSON_SCHEMA, root=True)
    if asked.body.tool_config is not UNSET:
        config = asked.body.tool_config.function_calling_config
        allowed = config.allowed_function_names
        if not declared:
            yield "Function calling config is set without function_declarations."
        if allowed is not UNSET and (config.mode != "ANY" or not set(allowed) <= set(names)):
            yield "allowed_function_names should be set only with mode ANY, to declared functions."


JSON_SCHEMA = re.compile(
    r"type|format|title|description|enum|items|minItems|maxItems|minimum|maximum|anyOf|oneOf|properties|"
    r"additionalProperties|required",
)
OPENAPI = re.compile(
    r"type|format|title|description|nullable|enum|items|maxItems|minItems|properties|required|minProperties|"
    r"maxProperties|minimum|maximum|minLength|maxLength|pattern|anyOf|propertyOrdering",
)
FORMATS = {"STRING": {"enum", "date-time"}, "NUMBER": {"float", "double"}, "INTEGER": {"int32", "int64"}}


def schema_faults(schema: Any, known: re.Pattern[str], *, root: bool = False) -> Iterator[str]:
    """What Google would not take in a schema of one of its two forms."""
    if not isinstance(schema, dict):
        yield f"a schema must be an object, not {schema!r}"
        return
    google = known is OPENAPI
    for name in schema:
        if not known.fullmatch(name):
            yield f'Unknown name "{name}" at schema: Cannot find field.'
    properties = schema.get("properties", {})
    kinds = schema["type"] if isinstance(schema.get("type"), list) else [schema["type"]] if "type" in schema else []
    if root and (schema.get("type") not in {"object", "OBJECT"} or not properties):
        yield "should be non-empty for OBJECT type"
    if google:
        yield from _google_faults(schema)
    elif not set(kinds) <= {"string", "number", "integer", "boolean", "object", "array", "null"}:
        yield f"unknown type {kinds}"
    if "anyOf" in schema and len(schema) > 1:
        yield "When using any_of, it must be the only field set"
    if not set(schema.get("required", [])) <= set(properties):
        yield "required: property is not defined"
    if any(value == "" for value in schema.get("enum", ["x"])):
        yield "enum: cannot be empty"
    extra = schema.get("additionalProperties")
    inner = [*properties.values(), *schema.get("anyOf", [])]
    inner += [schema["items"]] if "items" in schema else []
    for one in [*inner, *([extra] if isinstance(extra, dict) else [])]:
        yield from schema_faults(one, known)


def _google_faults(schema: dict[str, Any]) -> Iterator[str]:
    kind = schema.get("type")
    if "anyOf" not in schema and kind not in {"STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL"}:
        yield "schema didn't specify the schema type field"
    if kind == "ARRAY" and "items" not in schema:
        yield "items: missing field."
    if "enum" in schema and (kind != "STRING" or not all(isinstance(one, str) for one in schema["enum"])):
        yield "enum: only allowed for STRING type"
    if "format" in schema and schema["format"] not in FORMATS.get(str(kind), set()):
        yield f"format: only {FORMATS.get(str(kind))} are supported for {kind} type"


def _config(asked: Asked) -> Iterator[str]:
    config = asked.body.generation_config
    if config is UNSET:
        return
    most = _of(LONGEST_OUTPUT, asked.model)
    if config.max_output_tokens is not UNSET and config.max_output_tokens > most:
        yield (
            f"Unable to submit request because it has a maxOutputTokens value of {config.max_output_tokens} but the "
            f"supported range is from 1 (inclusive) to {most + 1} (exclusive). Update the value and try again."
        )
    calling = asked.body.tools is not UNSET
    if config.response_mime_type == "application/json" and calling and not asked.model.startswith(SIGNED):
        yield "Function calling with a response mime type: 'application/json' is unsupported"
    if config.response_json_schema is not UNSET and config.response_mime_type is UNSET:
        yield "response_json_schema needs a response_mime_type."
    if config.thinking_config is not UNSET:
        yield from _thinking(config.thinking_config, asked.model)


def _thinking(thinking: Thinking, model: str) -> Iterator[str]:
    levels, budget = _of(LEVELS, model), _of(BUDGETS, model)
    if not levels and not budget:
        yield "Thinking is not enabled for this model"
    if thinking.thinking_level is not UNSET and thinking.thinking_level not in (levels or ()):
        yield f"Thinking level {thinking.thinking_level} is not supported for this model."
    if thinking.thinking_budget is not UNSET:
        least, most, off = budget or (1, 0, False)
        if not (least <= thinking.thinking_budget <= most or (off and thinking.thinking_budget == 0)):
            yield f"The thinking budget {thinking.thinking_budget} is invalid. Please choose a value between {least} and {most}."


def _results(asked: Asked) -> Iterator[str]:
    for content in asked.body.contents:
        for part in content.parts:
            held = part.function_response.parts if part.function_response is not UNSET else UNSET
            if held is UNSET:
                continue
            if not asked.model.startswith(SIGNED):
                yield "Multimodal function responses are not supported for this model."
            if not {one.inline_data.mime_type for one in held} <= IN_RESULTS:
                yield "Unsupported MIME type in a function response."


RULES: tuple[Rule, ...] = (_parts, _order, _signatures, _tools, _config, _results)


def counted_in(raw: bytes, model: str, *, wrapped: bool) -> bytes | None:
    """The request that is to be counted: in a field that names the model again, or (on Vertex) its fields themselves."""
    try:
        body: dict[str, Any] = json.loads(raw)
        inner = body.pop("generateContentRequest") if wrapped else body
        named = inner.pop("model") if wrapped else f"models/{model}"
    except (ValueError, KeyError, AttributeError):
        return None
    alone = not wrapped or not body
    return json.dumps(inner).encode() if alone and named == f"models/{model}" else None


def fault_of(raw: bytes, model: str, issued: Mapping[str, str]) -> str | None:
    """Say what is wrong with this request, or None."""
    try:
        body = msgspec.json.decode(raw, type=Request)
    except msgspec.ValidationError as refused:
        return f"Invalid JSON payload received. {refused}"
    except msgspec.DecodeError:
        return "Invalid JSON payload received."
    return next((fault for rule in RULES for fault in rule(Asked(body, model, issued))), None)
