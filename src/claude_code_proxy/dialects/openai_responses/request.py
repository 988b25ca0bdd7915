"""A Messages request into a Responses request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from claude_code_proxy.dialects import search
from claude_code_proxy.dialects.base import Counting, Local, Outgoing, encoded_once, json_body
from claude_code_proxy.dialects.conversation import offered, system_text
from claude_code_proxy.dialects.effort import clipped, wanted
from claude_code_proxy.dialects.models import rule_of
from claude_code_proxy.dialects.names import upstream_name
from claude_code_proxy.dialects.openai_responses import web
from claude_code_proxy.dialects.openai_responses.carried import Place
from claude_code_proxy.dialects.openai_responses.history import input_items
from claude_code_proxy.dialects.openai_responses.parts import text_part
from claude_code_proxy.dialects.openai_responses.quirks import quirks_of
from claude_code_proxy.dialects.openai_responses.schema import can_be_strict, parameters
from claude_code_proxy.dialects.openai_responses.summaries import shown_at
from claude_code_proxy.dialects.session import session_header, session_key
from claude_code_proxy.wire.check import checked
from claude_code_proxy.wire.events import Stop
from claude_code_proxy.wire.head import body_of
from claude_code_proxy.wire.json_text import fields

if TYPE_CHECKING:
    from collections.abc import Mapping

    from claude_code_proxy.dialects.base import Call
    from claude_code_proxy.dialects.models import ModelRule
    from claude_code_proxy.dialects.openai_responses.quirks import Quirks
    from claude_code_proxy.dialects.search import Search
    from claude_code_proxy.wire.known_tools import Tools
    from claude_code_proxy.wire.messages import Request, Tool

_CHOICES: Final[dict[str, str]] = {"auto": "auto", "any": "required", "none": "none"}
_THINKING: Final = frozenset({"enabled", "adaptive"})
_VERBOSITIES: Final = ("low", "medium", "high")
_COUNTED: Final = frozenset(
    {"model", "instructions", "input", "tools", "tool_choice", "parallel_tool_calls", "reasoning", "text"}
)
"""Fields of a request that its counter takes, too. Source: the openai SDK 3.54, InputTokenCountParams."""


def request(call: Call) -> Outgoing | Local | Search:
    """The request to `{base_url}/responses`. Raises `ApiError` (400) for a malformed one."""
    asked = checked(body_of(call.head))
    if asked["max_tokens"] == 0:  # a client that warms a cache wants no answer
        return Local((Stop("end_turn"),))
    quirks = quirks_of(call.quirks)
    if search.is_search(asked) and not quirks.web_search:
        return search.search_of(asked, call.seed)
    tools = {upstream_name(tool["name"]): tool for tool in offered(asked)}
    body = responses_request(asked, tools, call, quirks)
    headers = session_header(quirks.session_header, asked.get("metadata"), call.headers)
    return Outgoing(f"{call.base_url}/responses", json_body(body), headers, tools)


def count(call: Call) -> Counting:
    """The request to `{base_url}/responses/input_tokens`. Raises `ApiError` (400) for a malformed one."""
    asked = checked(body_of(call.head), counting=True)
    asked.setdefault("max_tokens", 1)
    tools = {upstream_name(tool["name"]): tool for tool in offered(asked)}
    body = responses_request(asked, tools, call, quirks_of(call.quirks))
    counted = {name: value for name, value in body.items() if name in _COUNTED}
    return Counting(Outgoing(f"{call.base_url}/responses/input_tokens", json_body(counted)))


def responses_request(request: Request, tools: Mapping[str, Tool], call: Call, quirks: Quirks) -> dict[str, Any]:
    """The body of the request, its keys in a stable order."""
    rule = rule_of(call.model)
    searching = web.search_tool(request) if quirks.web_search else None
    place = Place(call.model, call.base_url)
    body: dict[str, Any] = {"model": call.model, "store": False}
    if include := _include(rule, searching=bool(searching)):
        body["include"] = include
    instructions = [system_text(request.get("system")), web.instruction(searching)]
    if text := "\n\n".join(filter(None, instructions)):
        body["instructions"] = text
    body["input"] = input_items(request["messages"], place, quirks)
    if tools or searching:
        body |= _tool_fields(request, tools, searching, call.head.tools, rule)
        if not rule.forced_tools and (wanted_tool := _forced(request)):  # it cannot be made to
            body["input"].append({"type": "message", "role": "user", "content": [text_part(wanted_tool)]})
    asked = request["max_tokens"]
    limit = rule.capped(min(asked, call.max_output_tokens or asked), call.max_output)
    body["max_output_tokens"] = max(quirks.min_tokens, limit)
    body |= _sampling(request, rule)
    summary = quirks.summary if shown_at(call.base_url) else ""
    if reasoning := _reasoning(request, rule, summary, searching=bool(searching)):
        body["reasoning"] = reasoning
    if text_fields := _text(request):
        body["text"] = text_fields
    if quirks.session_key and (session := session_key(request.get("metadata"), call.headers)):
        body[quirks.session_key] = session
    body |= call.body
    if call.head.stream:
        body["stream"] = True
    return body


def _include(rule: ModelRule, *, searching: bool) -> list[str]:
    """What the answer must hold beside the usual. A model that is known not to reason refuses to encrypt it."""
    encrypted = ["reasoning.encrypted_content"] if rule.efforts or not rule.match else []
    return [*encrypted, *(["web_search_call.action.sources"] if searching else [])]


def _reasoning(request: Request, rule: ModelRule, summary: str, *, searching: bool) -> dict[str, Any]:
    """How hard to think, and whether to tell of it."""
    if not rule.efforts:
        return {}
    asked: dict[str, Any] = {}
    if level := wanted(request):
        effort = clipped(level, rule.efforts)
        asked["effort"] = "low" if searching and effort == "minimal" else effort  # that level cannot search
    thinking = request.get("thinking") or {}
    shown = thinking.get("type") in _THINKING and thinking.get("display") != "omitted"
    if shown and summary not in {"", "off"}:
        asked["summary"] = summary
    return asked


def _sampling(request: Request, rule: ModelRule) -> dict[str, Any]:
    names = ("temperature", "top_p") if rule.sampling else ()
    return {name: request[name] for name in names if request.get(name) is not None}  # type: ignore[literal-required]


def _text(request: Request) -> dict[str, Any]:
    """The form of the answer's text: a schema, and how long-winded it may be, which only some clients say."""
    config = request.get("output_config") or {}
    text: dict[str, Any] = {}
    form = config.get("format")
    if isinstance(form, dict) and form.get("type") == "json_schema":
        schema = fields(form.get("schema"))
        text["format"] = {"type": "json_schema", "name": "response", "schema": schema, "strict": can_be_strict(schema)}
    for said in (config.get("verbosity"), request.get("verbosity")):
        if said in _VERBOSITIES:
            text["verbosity"] = said
            break
    return text


def _tool_fields(
    request: Request,
    tools: Mapping[str, Tool],
    searching: Tool | None,
    known: Tools | None,
    rule: ModelRule,
) -> dict[str, Any]:
    def offer() -> list[dict[str, Any]]:
        return [*web.tools(searching), *(_function(name, tool) for name, tool in tools.items())]

    once = None if searching else known
    body: dict[str, Any] = {"tools": encoded_once("openai_responses", once, tools.values(), offer)}
    choice = request.get("tool_choice") or {}
    kind, name = choice.get("type"), upstream_name(choice.get("name") or "")
    if kind in {"any", "tool"} and not rule.forced_tools:
        body["tool_choice"] = "auto"
    elif kind == "tool" and name in tools:
        body["tool_choice"] = {"type": "function", "name": name}
    elif kind == "tool" and searching:
        body["tool_choice"] = "auto" if tools else "required"
    elif kind in _CHOICES:
        body["tool_choice"] = _CHOICES[kind]
    if choice.get("disable_parallel_tool_use"):
        body["parallel_tool_calls"] = False
    return body | web.limits(searching, alone=not tools)


def _forced(request: Request) -> str:
    """The words that ask for a call, where the request demands one."""
    choice = request.get("tool_choice") or {}
    if choice.get("type") not in {"any", "tool"}:
        return ""
    named = choice.get("name")
    return f"Call {f'the function {upstream_name(named)}' if named else 'one of the functions'} now."


def _function(name: str, tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"type": "function", "name": name}
    if description := tool.get("description"):
        function["description"] = description
    return function | {"parameters": parameters(tool.get("input_schema") or {}), "strict": False}
