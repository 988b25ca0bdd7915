"""A Messages request into a Chat Completions request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from claude_code_proxy.dialects import search
from claude_code_proxy.dialects.base import Local, Outgoing, encoded_once, json_body
from claude_code_proxy.dialects.conversation import offered, system_text
from claude_code_proxy.dialects.models import rule_of
from claude_code_proxy.dialects.names import upstream_name
from claude_code_proxy.dialects.openai_chat import shim
from claude_code_proxy.dialects.openai_chat.effort import effort_fields
from claude_code_proxy.dialects.openai_chat.marks import mark_in, marks_of, system_parts
from claude_code_proxy.dialects.openai_chat.messages import chat_messages
from claude_code_proxy.dialects.openai_chat.quirks import MAX_STOPS, quirks_of
from claude_code_proxy.dialects.openai_chat.web import search_tool
from claude_code_proxy.dialects.session import session_header, session_key
from claude_code_proxy.wire.check import checked
from claude_code_proxy.wire.events import Stop
from claude_code_proxy.wire.head import body_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from claude_code_proxy.dialects.base import Call
    from claude_code_proxy.dialects.models import ModelRule
    from claude_code_proxy.dialects.openai_chat.quirks import Quirks
    from claude_code_proxy.dialects.search import Search
    from claude_code_proxy.wire.known_tools import Tools
    from claude_code_proxy.wire.messages import Request, Tool

_CHOICES: Final[dict[str, str]] = {"auto": "auto", "any": "required", "none": "none"}


def request(call: Call) -> Outgoing | Local | Search:
    """The request to `{base_url}/chat/completions`. Raises `ApiError` (400) for a malformed one."""
    asked = checked(body_of(call.head))
    if asked["max_tokens"] == 0:  # a client that warms a cache wants no answer
        return Local((Stop("end_turn"),))
    wanted, quirks = search.search_of(asked, call.seed) if search.is_search(asked) else None, quirks_of(call.quirks)
    if wanted and not quirks.web_search:
        return wanted
    tools = {upstream_name(tool["name"]): tool for tool in offered(asked)}
    body = chat_request(asked, tools, call, quirks)
    if wanted:
        body["tools"] = [search_tool(quirks.web_search, wanted)]
    headers = session_header(quirks.session_header, asked.get("metadata"), call.headers)
    return Outgoing(f"{call.base_url}/chat/completions", json_body(body), headers, tools)


def chat_request(request: Request, tools: Mapping[str, Tool], call: Call, quirks: Quirks) -> dict[str, Any]:
    """The body of the chat request, its keys in a stable order."""
    rule = rule_of(call.model)
    system = system_text(request.get("system"))
    form = _response_format(request)
    offer: dict[str, Any] = {}
    if quirks.tools == "schema":
        tools = shim.choosable(request, tools)
    if tools and quirks.tools == "schema":
        must_call = shim.must_call(request)
        system = "\n\n".join(text for text in (system, shim.instructions(tools, must_call=must_call)) if text)
        form = shim.response_format(tools, must_call=must_call)
    elif tools:
        offer = _tool_fields(request, tools, call.head.tools, rule)
    marks = marks_of(call.model, {} if quirks.tools == "schema" else quirks.cache_marks)
    prompt = system_parts(request.get("system"), marks) if marks else system
    messages = chat_messages(prompt, request["messages"], call.model, quirks, marks)
    if quirks.tools == "schema":
        messages = shim.as_text(messages)
    elif tools and not rule.forced_tools and shim.must_call(request):
        named = (request.get("tool_choice") or {}).get("name")
        wanted = f"the function {upstream_name(named)}" if named else "one of the functions"
        messages.append({"role": "user", "content": f"Call {wanted} now."})  # it cannot be made to
    body = {
        "model": call.model,
        "messages": messages,
        **offer,
        quirks.max_tokens: _limit(request, call, rule, quirks),
        **_sampling(request, rule, quirks),
        **effort_fields(request, rule, quirks, tools=bool(tools)),
    }
    if form:
        body["response_format"] = form
    if quirks.session_key and (session := session_key(request.get("metadata"), call.headers)):
        body[quirks.session_key] = session
    if marks == "full":
        body |= mark_in({"cache_control": request.get("cache_control")}, marks)
    body |= call.body
    if call.head.stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return body


def _limit(request: Request, call: Call, rule: ModelRule, quirks: Quirks) -> int:
    """The output limit: the client's, within the user's and the model's."""
    asked = request["max_tokens"]
    return max(quirks.min_tokens, rule.capped(min(asked, call.max_output_tokens or asked), call.max_output))


def _sampling(request: Request, rule: ModelRule, quirks: Quirks) -> dict[str, Any]:
    names = [*(("temperature", "top_p") if rule.sampling else ()), *(("top_k",) if quirks.top_k else ())]
    body: dict[str, Any] = {name: request[name] for name in names if request.get(name) is not None}  # type: ignore[literal-required]
    if stops := _native_stops(request, rule):
        body["stop"] = stops
    return body


def _native_stops(request: Request, rule: ModelRule) -> list[str]:
    """The stop sequences that the upstream watches for; the reply is searched for the others."""
    return [stop for stop in request.get("stop_sequences") or () if stop][:MAX_STOPS] if rule.stop else []


def _tool_fields(request: Request, tools: Mapping[str, Tool], known: Tools | None, rule: ModelRule) -> dict[str, Any]:
    body: dict[str, Any] = {"tools": encoded_once("openai_chat", known, tools.values(), lambda: _functions(tools))}
    choice = request.get("tool_choice") or {}
    kind, name = choice.get("type"), upstream_name(choice.get("name") or "")
    if kind in {"any", "tool"} and not rule.forced_tools:
        body["tool_choice"] = "auto"
    elif kind == "tool" and name in tools:
        body["tool_choice"] = {"type": "function", "function": {"name": name}}
    elif kind in _CHOICES:
        body["tool_choice"] = _CHOICES[kind]
    if choice.get("disable_parallel_tool_use"):
        body["parallel_tool_calls"] = False
    return body


def _functions(tools: Mapping[str, Tool]) -> list[dict[str, Any]]:
    return [_function(name, tool) for name, tool in tools.items()]


def _function(name: str, tool: Tool) -> dict[str, Any]:
    schema = {key: value for key, value in (tool.get("input_schema") or {}).items() if key != "$schema"}
    function: dict[str, Any] = {"name": name}
    if description := tool.get("description"):
        function["description"] = description
    if "type" not in schema:  # servers refuse one that does not say so
        schema = {"type": "object", **(schema or {"properties": {}})}
    function["parameters"] = schema
    return {"type": "function", "function": function}


def _response_format(request: Request) -> dict[str, Any] | None:
    form = (request.get("output_config") or {}).get("format")
    if not isinstance(form, dict) or form.get("type") != "json_schema":
        return None
    return {"type": "json_schema", "json_schema": {"name": "response", "schema": form.get("schema") or {}}}
