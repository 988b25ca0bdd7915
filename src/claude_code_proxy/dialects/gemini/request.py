"""A Messages request into a generateContent request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from claude_code_proxy.dialects import search
from claude_code_proxy.dialects.base import Counting, Local, Outgoing, json_body
from claude_code_proxy.dialects.conversation import offered, system_text
from claude_code_proxy.dialects.gemini.contents import Rules, contents_of
from claude_code_proxy.dialects.gemini.quirks import MAX_STOPS, quirks_of
from claude_code_proxy.dialects.gemini.signatures import place_of
from claude_code_proxy.dialects.gemini.thinking import thinking_config
from claude_code_proxy.dialects.models import rule_of
from claude_code_proxy.dialects.names import upstream_name
from claude_code_proxy.dialects.schema import trimmed
from claude_code_proxy.wire.check import checked
from claude_code_proxy.wire.events import Stop
from claude_code_proxy.wire.head import body_of
from claude_code_proxy.wire.json_text import fields, items

if TYPE_CHECKING:
    from collections.abc import Mapping

    from claude_code_proxy.dialects.base import Call
    from claude_code_proxy.dialects.gemini.quirks import Quirks
    from claude_code_proxy.dialects.models import ModelRule
    from claude_code_proxy.wire.messages import Request, Tool

_KINDS: Final = ("models", "tunedModels")
"""What a model's path may begin with."""

_MODES: Final[dict[str, str]] = {"auto": "AUTO", "any": "ANY", "tool": "ANY", "none": "NONE"}
_COUNTED: Final = ("systemInstruction", "tools", "contents")
"""Fields that make the prompt. Source: the google-genai SDK 3.4, models.py, and Google's API reference."""

_SAMPLING: Final = (("temperature", "temperature"), ("top_p", "topP"), ("top_k", "topK"))


def request(call: Call) -> Outgoing | Local:
    """The request to `{base_url}/models/{model}:…`. Raises `ApiError` (400) for a malformed one."""
    asked = checked(body_of(call.head))
    if asked["max_tokens"] == 0:  # a client that warms a cache wants no answer
        return Local((Stop("end_turn"),))
    tools = {upstream_name(tool["name"], word=True): tool for tool in offered(asked)}
    body = _merged(content_request(asked, tools, call, quirks_of(call.quirks)), call.body)
    return Outgoing(url_of(call.base_url, call.model, stream=call.head.stream), json_body(body), tools=tools)


def count(call: Call) -> Counting:
    """The request to `{base_url}/models/{model}:countTokens`. Raises `ApiError` (400) for a malformed one.

    What says how to answer is no part of the prompt.
    """
    asked, quirks = checked(body_of(call.head), counting=True), quirks_of(call.quirks)
    asked.setdefault("max_tokens", 1)
    tools = {upstream_name(tool["name"], word=True): tool for tool in offered(asked)}
    whole = content_request(asked, tools, call, quirks)
    body: dict[str, Any] = {name: whole[name] for name in _COUNTED if name in whole}
    path = _path(call.model)
    if quirks.count == "wrapped":
        body = {"generateContentRequest": {"model": path, **body}}
    return Counting(Outgoing(f"{call.base_url}/{path}:countTokens", json_body(body)), "totalTokens")


def url_of(base_url: str, model: str, *, stream: bool) -> str:
    """Where a model is asked. Nothing in its name can lead anywhere else."""
    return f"{base_url}/{_path(model)}:" + ("streamGenerateContent?alt=sse" if stream else "generateContent")


def _path(model: str) -> str:
    kind, slash, name = model.partition("/")
    return f"{kind}/{quote(name, safe='')}" if slash and kind in _KINDS else f"models/{quote(model, safe='')}"


def content_request(request: Request, tools: Mapping[str, Tool], call: Call, quirks: Quirks) -> dict[str, Any]:
    """The body of the request, its keys in a stable order."""
    rule = rule_of(call.model)
    system = [system_text(request.get("system"))]
    body: dict[str, Any] = {}
    config = _config(request, call, rule)
    if search.is_search(request):
        body["tools"] = [{"googleSearch": {}}]
        system.append(_sites(request))
    elif tools:
        body["tools"] = [{"functionDeclarations": [_declared(*one, rule, quirks) for one in tools.items()]}]
        if choice := _choice(request, tools):
            body["toolConfig"] = {"functionCallingConfig": choice}
    form = fields((request.get("output_config") or {}).get("format"))
    if form.get("type") == "json_schema":
        schema = fields(form.get("schema"))
        if "tools" in body and not rule.form_with_tools:
            system.append(f"Answer with nothing but JSON of this schema: {json_body(schema).decode()}")
        else:
            config["responseMimeType"] = "application/json"
            if taken := trimmed(schema, "json"):
                config["responseJsonSchema"] = taken
    if said := "\n\n".join(filter(None, system)):
        body = {"systemInstruction": {"parts": [{"text": said}]}, **body}
    rules = Rules(
        call.model,
        place_of(call.base_url),
        signed_calls=rule.signed_calls,
        media_in_results=rule.media_in_results,
        call_ids=quirks.call_ids,
    )
    return {**body, "contents": contents_of(request["messages"], rules), "generationConfig": config}


def _config(request: Request, call: Call, rule: ModelRule) -> dict[str, Any]:
    asked = request["max_tokens"]
    limit = rule.capped(min(asked, call.max_output_tokens or asked), call.max_output)
    config: dict[str, Any] = {"maxOutputTokens": limit}
    if rule.sampling:
        given: Mapping[str, Any] = request
        config |= {theirs: given[ours] for ours, theirs in _SAMPLING if given.get(ours) is not None}
    if stops := [stop for stop in request.get("stop_sequences") or () if stop][:MAX_STOPS]:
        config["stopSequences"] = stops
    if thinking := thinking_config(request, rule, limit):
        config["thinkingConfig"] = thinking
    return config


def _declared(name: str, tool: Tool, rule: ModelRule, quirks: Quirks) -> dict[str, Any]:
    declared: dict[str, Any] = {"name": name}
    if description := tool.get("description"):
        declared["description"] = description
    old = quirks.schema == "openapi" or not rule.json_schema
    if schema := trimmed(tool.get("input_schema") or {}, "openapi" if old else "json"):
        declared["parameters" if old else "parametersJsonSchema"] = schema
    return declared


def _choice(request: Request, tools: Mapping[str, Tool]) -> dict[str, Any]:
    choice = request.get("tool_choice") or {}
    kind, name = choice.get("type") or "", upstream_name(choice.get("name") or "", word=True)
    if kind not in _MODES or (kind == "tool" and name not in tools):
        return {}
    return {"mode": _MODES[kind], **({"allowedFunctionNames": [name]} if kind == "tool" else {})}


def _sites(request: Request) -> str:
    """The sites that a search is to keep to; Google's tool takes none itself."""
    tools: list[Mapping[str, Any]] = list(request.get("tools") or ())
    said: list[str] = []
    for field, words in (("allowed_domains", "Use pages of these sites only"), ("blocked_domains", "Use no pages of")):
        sites = [str(site) for tool in tools for site in items(tool.get(field))]
        if sites:
            said.append(f"{words}: {', '.join(sites)}.")
    return "\n".join(said)


def _merged(body: dict[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """A body with more fields; objects that both have are merged."""
    out = dict(body)
    for name, value in extra.items():
        held = out.get(name)
        out[name] = _merged(held, value) if isinstance(held, dict) and isinstance(value, dict) else value
    return out
