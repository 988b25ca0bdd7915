"""What api.anthropic.com accepts at /v1/messages, as data, and its words for what it does not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

VERSIONS = {"2023-06-01", "2026-10-21"}
SAMPLING = ("temperature", "top_p", "top_k")
MOST_BREAKPOINTS = 4

# Fields that are unknown without one of these betas.
BETA_FIELDS: Mapping[str, tuple[str, ...]] = {
    "context_management": ("context-management-2025-06-27",),
    "safeguards": ("dangerous-tool-use-2026-09-03",),
    "mcp_servers": ("mcp-client-2025-11-20", "mcp-client-2026-09-15"),
    "messages.output_config": ("per-turn-control-2026-07-01", "mid-conversation-output-config-2026-07-01"),
    "tools.defer_loading": ("advanced-tool-use-2025-11-20",),
    "thinking.display.updates": ("thinking-display-updates-2026-08-18",),
}

ToolId = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]+$")]


class _Strict(msgspec.Struct, forbid_unknown_fields=True):
    """An object that takes no field it does not know."""


class CacheControl(_Strict):
    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] | UnsetType = UNSET


class _Cached(_Strict):
    cache_control: CacheControl | None = None


class TextBlock(_Cached, tag_field="type", tag="text", kw_only=True):
    text: Annotated[str, Meta(min_length=1)]
    citations: list[dict[str, Any]] | None = None


class Source(_Strict):
    type: Literal["base64", "url", "file", "text", "content"]
    media_type: str | UnsetType = UNSET
    data: str | UnsetType = UNSET
    url: str | UnsetType = UNSET
    file_id: str | UnsetType = UNSET
    content: Any = UNSET


class ImageBlock(_Cached, tag_field="type", tag="image", kw_only=True):
    source: Source


class DocumentBlock(_Cached, tag_field="type", tag="document", kw_only=True):
    source: Source
    title: str | None = None
    context: str | None = None
    citations: dict[str, Any] | None = None


class ThinkingBlock(_Strict, tag_field="type", tag="thinking"):
    thinking: str
    signature: str


class RedactedBlock(_Strict, tag_field="type", tag="redacted_thinking"):
    data: str


class ToolUseBlock(_Cached, tag_field="type", tag="tool_use", kw_only=True):
    id: ToolId
    name: Annotated[str, Meta(min_length=1, max_length=200)]
    input: dict[str, Any]
    caller: dict[str, Any] | UnsetType = UNSET


class ToolReference(_Cached, tag_field="type", tag="tool_reference", kw_only=True):
    tool_name: str


class ToolResultBlock(_Cached, tag_field="type", tag="tool_result", kw_only=True):
    tool_use_id: ToolId
    content: str | list[TextBlock | ImageBlock | DocumentBlock | ToolReference] | UnsetType = UNSET
    is_error: bool | UnsetType = UNSET


UserBlock: TypeAlias = TextBlock | ImageBlock | DocumentBlock | ToolResultBlock
AssistantBlock: TypeAlias = TextBlock | ThinkingBlock | RedactedBlock | ToolUseBlock


class UserMessage(_Strict, tag_field="role", tag="user"):
    content: str | list[UserBlock]


class AssistantMessage(_Strict, tag_field="role", tag="assistant"):
    content: str | list[AssistantBlock]


class SystemMessage(_Strict, tag_field="role", tag="system"):
    content: str | list[TextBlock]
    output_config: dict[str, Any] | UnsetType = UNSET


Message: TypeAlias = UserMessage | AssistantMessage | SystemMessage


class Tool(_Cached, kw_only=True):
    name: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]{1,128}$")]
    type: str | None = None
    description: str | UnsetType = UNSET
    input_schema: dict[str, Any] | UnsetType = UNSET
    strict: bool | UnsetType = UNSET
    defer_loading: bool | UnsetType = UNSET
    eager_input_streaming: bool | None = None
    max_uses: int | None = None
    allowed_domains: list[str] | None = None
    blocked_domains: list[str] | None = None
    user_location: dict[str, Any] | None = None


class ToolChoice(_Strict):
    type: Literal["auto", "any", "tool", "none"]
    name: str | UnsetType = UNSET
    disable_parallel_tool_use: bool | UnsetType = UNSET


class Thinking(_Strict):
    type: Literal["enabled", "adaptive", "disabled", "between_tools"]
    budget_tokens: Annotated[int, Meta(ge=1024)] | UnsetType = UNSET
    display: Literal["summarized", "omitted", "updates"] | UnsetType = UNSET


class Counted(_Strict, kw_only=True):
    """What count_tokens reads."""

    model: Annotated[str, Meta(min_length=1)]
    messages: Annotated[list[Message], Meta(min_length=1)]
    system: str | list[TextBlock] | UnsetType = UNSET
    tools: list[Tool] | UnsetType = UNSET
    tool_choice: ToolChoice | UnsetType = UNSET
    thinking: Thinking | UnsetType = UNSET
    output_config: dict[str, Any] | UnsetType = UNSET
    cache_control: CacheControl | None = None
    context_management: dict[str, Any] | None = None
    mcp_servers: list[dict[str, Any]] | UnsetType = UNSET
    speed: Literal["standard", "fast"] | None = None


class Request(Counted, kw_only=True):
    """Every field of the real request; its types are loose where no proxy would go wrong."""

    max_tokens: Annotated[int, Meta(ge=0)]
    container: Any = UNSET
    diagnostics: dict[str, Any] | None = None
    inference_geo: str | None = None
    metadata: dict[str, Any] | UnsetType = UNSET
    safeguards: list[dict[str, Any]] | UnsetType = UNSET
    service_tier: Literal["auto", "standard_only"] | UnsetType = UNSET
    stop_sequences: list[str] | UnsetType = UNSET
    stream: bool | UnsetType = UNSET
    temperature: Annotated[float, Meta(ge=0, le=1)] | UnsetType = UNSET
    top_k: int | UnsetType = UNSET
    top_p: float | UnsetType = UNSET
    user_profile_id: str | None = None
    workspace_id: str | None = None


@dataclass(frozen=True)
class Asked:
    """A request with the headers that change its meaning."""

    req: Counted
    version: str
    betas: frozenset[str]


def _first_is_not_system(asked: Asked) -> str | None:
    first = asked.req.messages[0]
    return "messages.0: system messages must follow a user turn" if isinstance(first, SystemMessage) else None


def _results_follow(asked: Asked) -> str | None:
    """Every call is answered in the next user turn, where the results come first."""
    waiting: set[str] = set()
    for i, (role, blocks) in enumerate(_turns(asked.req.messages)):
        results = [b.tool_use_id for b in blocks if isinstance(b, ToolResultBlock)]
        if missing := waiting - set(results):
            return (
                f"messages.{i}: `tool_use` ids were found without `tool_result` blocks immediately after: "
                f"{', '.join(sorted(missing))}. Each `tool_use` block must have a corresponding `tool_result` block in "
                "the next message."
            )
        if extra := set(results) - waiting:
            return (
                f"messages.{i}: unexpected `tool_use_id` found in `tool_result` blocks: {', '.join(sorted(extra))}. "
                "Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
            )
        if not all(isinstance(b, ToolResultBlock) for b in blocks[: len(results)]):
            return f"messages.{i}: `tool_result` blocks must come first"
        waiting = {b.id for b in blocks if isinstance(b, ToolUseBlock)} if role is AssistantMessage else set()
    if waiting:
        return f"messages: `tool_use` ids were found without `tool_result` blocks: {', '.join(sorted(waiting))}"
    return None


def _turns(messages: list[Message]) -> Iterator[tuple[type[Message], list[Any]]]:
    """Merge what the API merges: neighbours of one role."""
    for role, group in groupby(messages, type):
        blocks = [b for m in group if not isinstance(m.content, str) for b in m.content]
        yield role, blocks


def _betas_are_named(asked: Asked) -> str | None:
    for name in _beta_fields(asked.req):
        if asked.betas.isdisjoint(BETA_FIELDS[name]):
            return f"{name}: Extra inputs are not permitted"
    return None


def _beta_fields(req: Counted) -> Iterator[str]:
    for name in ("context_management", "safeguards", "mcp_servers"):
        if getattr(req, name, UNSET) not in (UNSET, None):
            yield name
    if any(isinstance(m, SystemMessage) and m.output_config is not UNSET for m in req.messages):
        yield "messages.output_config"
    if req.tools is not UNSET and any(tool.defer_loading is True for tool in req.tools):
        yield "tools.defer_loading"
    if req.thinking is not UNSET and req.thinking.display == "updates":
        yield "thinking.display.updates"


def _sampling_is_gone(asked: Asked) -> str | None:
    if asked.version < "2026-10-21":
        return None
    given = next((name for name in SAMPLING if getattr(asked.req, name, UNSET) is not UNSET), None)
    return f"{given}: Extra inputs are not permitted" if given else None


def _few_breakpoints(asked: Asked) -> str | None:
    found = sum(_breakpoints(msgspec.to_builtins(asked.req)))
    if found > MOST_BREAKPOINTS:
        return f"A maximum of 4 blocks with cache_control may be provided. Found {found}."
    return None


def _breakpoints(node: Any) -> Iterator[int]:
    if isinstance(node, dict):
        yield int(bool(node.get("cache_control")))
        for key, value in node.items():
            if key not in {"input", "input_schema"}:
                yield from _breakpoints(value)
    elif isinstance(node, list):
        for value in node:
            yield from _breakpoints(value)


def _tools_are_described(asked: Asked) -> str | None:
    for i, tool in enumerate([] if asked.req.tools is UNSET else asked.req.tools):
        if tool.type in {None, "custom"} and tool.input_schema is UNSET:
            return f"tools.{i}.custom.input_schema: Field required"
    return None


RULES: tuple[Callable[[Asked], str | None], ...] = (
    _first_is_not_system,
    _results_follow,
    _betas_are_named,
    _sampling_is_gone,
    _few_breakpoints,
    _tools_are_described,
)

# msgspec's words, and Anthropic's for the same.
_WORDS: tuple[tuple[str, str], ...] = (
    (r"contains unknown field `([^`]*)`", "{at}{word}: Extra inputs are not permitted"),
    (r"missing required field `([^`]*)`", "{at}{word}: Field required"),
    (r"(.*)", "{at} {word}"),
)


def fault_of(raw: bytes, headers: Mapping[str, str], *, counting: bool) -> str | None:
    """Say what is wrong with this request, or None."""
    version = headers.get("anthropic-version", "")
    if version not in VERSIONS:
        return "anthropic-version: header is required" if not version else f"anthropic-version: {version} is invalid"
    try:
        req = msgspec.json.decode(raw, type=Counted if counting else Request)
    except msgspec.ValidationError as refused:
        return _translated(str(refused))
    except msgspec.DecodeError as broken:
        return f"The request body is not valid JSON: {broken}"
    betas = frozenset(name.strip() for name in headers.get("anthropic-beta", "").split(","))
    asked = Asked(req, version, betas)
    return next((fault for rule in RULES if (fault := rule(asked))), None)


def _translated(said: str) -> str:
    reason, _, where = said.partition(" - at `$")
    at = re.sub(r"\[(\d+|\.\.\.)\]", r".\1", where.rstrip("`")).removeprefix(".")
    for pattern, words in _WORDS:
        if found := re.search(pattern, reason):
            return words.format(at=f"{at}." if at and words[4] == "{" else f"{at}:" if at else "", word=found[1])
    raise AssertionError(said)
