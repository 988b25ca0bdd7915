"""How models write tool calls in their own notation, before a server makes fields of them.

Each reader takes the whole notation and gives the calls in it, or None when it does not read without an
error. The notations are those of the models' chat templates, as of November 2026.
"""

from __future__ import annotations

import re
from collections.abc import Callable  # noqa: TC003 -- a field of a Struct
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Struct

from claude_code_proxy.wire.json_text import fields

Said: TypeAlias = tuple[str, dict[str, Any]]
"""A call: the tool's name and its arguments, which are all text where the notation has no types."""


class Notation(Struct, frozen=True):
    """One way to write calls. Without closers it goes on to the end of the text."""

    openers: tuple[str, ...]
    closers: tuple[str, ...]
    read: Callable[[str], list[Said] | None]


def _json(text: str) -> Any:
    try:
        return msgspec.json.decode(text.strip())
    except (msgspec.DecodeError, RecursionError):
        return None


def _one(said: Any) -> Said | None:
    """A call as a JSON object: `{"name", "arguments"}` or `{"name", "parameters"}`."""
    call = fields(said)
    name = call.get("name")
    arguments = call.get("arguments", call.get("parameters", {}))
    if isinstance(arguments, str):
        arguments = _json(arguments)
    return (name, arguments) if isinstance(name, str) and isinstance(arguments, dict) else None


def _all(said: list[Said | None]) -> list[Said] | None:
    calls = [call for call in said if call]
    return calls if calls and len(calls) == len(said) else None


def _objects(text: str) -> list[Said] | None:
    """A JSON object, or a list of them."""
    said = _json(text)
    return _all([_one(one) for one in (said if isinstance(said, list) else [said])])


_FUNCTION = re.compile(r"<function=([^>\s]+)>(.*?)(?:</function>|\Z)", re.DOTALL)
_PARAMETER = re.compile(r"<parameter=([^>\s]+)>\n?(.*?)\n?(?:</parameter>|(?=<parameter=)|\Z)", re.DOTALL)
_GLM_NAME = re.compile(r"\s*([^\s<]+)\s*(?=<arg_key>|\Z)")
_GLM_PAIR = re.compile(r"<arg_key>(.*?)</arg_key>\s*<arg_value>(.*?)</arg_value>", re.DOTALL)


def _functions(text: str) -> list[Said] | None:
    """Qwen3-Coder, Nemotron 3: `<function=X><parameter=k>v</parameter></function>`."""
    return [(name, dict(_PARAMETER.findall(body))) for name, body in _FUNCTION.findall(text)] or None


def _tool_call(text: str) -> list[Said] | None:
    """`<tool_call>`: JSON (Hermes, Qwen), functions (Qwen3-Coder), or keys and values (GLM)."""
    inside = text.removeprefix("<tool_call>").partition("</tool_call>")[0]
    if said := _objects(inside) or _functions(inside):
        return said
    named = _GLM_NAME.match(inside)
    return [(named[1], dict(_GLM_PAIR.findall(inside)))] if named else None


_KIMI = re.compile(
    r"<\|tool_call_begin\|>\s*(?:functions\.)?([^\s<]+?)(?::\d+)?\s*<\|tool_call_argument_begin\|>(.*?)<\|tool_call_end\|>",
    re.DOTALL,
)
_DEEPSEEK = re.compile(
    "<｜tool▁call▁begin｜>(?:function<｜tool▁sep｜>)?([^\n<{]+?)(?:<｜tool▁sep｜>|\n)(?:```json\n)?(.*?)(?:\n```)?<｜tool▁call▁end｜>",
    re.DOTALL,
)
_HARMONY = re.compile(r"to=(?:functions\.)?([\w.-]+).*?<\|message\|>(.*?)(?:<\|call\|>|\Z)", re.DOTALL)


def _pairs(pattern: re.Pattern[str]) -> Callable[[str], list[Said] | None]:
    """Notations of a name and JSON."""

    def read(text: str) -> list[Said] | None:
        return _all([_one({"name": name, "arguments": _json(said)}) for name, said in pattern.findall(text)])

    return read


_INVOKE = re.compile(r'<[^<>]*?invoke name="([^"]+)">(.*?)</[^<>]*?invoke>', re.DOTALL)
_INVOKE_PARAMETER = re.compile(r'<[^<>]*?parameter name="([^"]+)"([^>]*)>(.*?)</[^<>]*?parameter>', re.DOTALL)


def _invokes(text: str) -> list[Said] | None:
    """`<invoke name="X"><parameter name="k">v</parameter></invoke>` in any wrapping: MiniMax, DeepSeek, Claude."""
    said: list[Said] = []
    for name, body in _INVOKE.findall(text):
        arguments: dict[str, Any] = {}
        for key, attributes, value in _INVOKE_PARAMETER.findall(body):
            arguments[key] = _json(value) if 'string="false"' in attributes else value
        said.append((name, arguments))
    return said or None


def _mistral(text: str) -> list[Said] | None:
    """`[TOOL_CALLS][{…}]`, or `[TOOL_CALLS]X[ARGS]{…}` once for each call."""
    inside = text.removeprefix("[TOOL_CALLS]")
    if inside.lstrip().startswith("["):
        return _objects(inside)
    said: list[Said | None] = []
    for one in inside.split("[TOOL_CALLS]"):
        name, found, arguments = one.partition("[ARGS]")
        said.append(
            _one({"name": name.partition("[CALL_ID]")[0].strip(), "arguments": _json(arguments)}) if found else None
        )
    return _all(said)


def _after(*openers: str) -> Callable[[str], list[Said] | None]:
    """JSON between an opener and the end, or a closing tag."""

    def read(text: str) -> list[Said] | None:
        for opener in openers:
            text = text.removeprefix(opener)
        return _objects(re.split(r"</TOOLCALL>|<\|eom_id\|>|<\|eot_id\|>", text)[0])

    return read


NOTATIONS: Final[tuple[Notation, ...]] = (
    Notation(("<tool_call>",), ("</tool_call>",), _tool_call),
    Notation(("<function=",), ("</function>",), _functions),
    Notation(("<|tool_calls_section_begin|>",), ("<|tool_calls_section_end|>",), _pairs(_KIMI)),
    Notation(("<｜tool▁calls▁begin｜>",), ("<｜tool▁calls▁end｜>",), _pairs(_DEEPSEEK)),
    Notation(
        (
            "<｜DSML｜function_calls>",
            "<｜DSML｜tool_calls>",
            "<｜｜DSML｜｜tool_calls>",
            "<｜｜DSML｜｜function_calls>",
        ),
        (
            "</｜DSML｜function_calls>",
            "</｜DSML｜tool_calls>",
            "</｜｜DSML｜｜tool_calls>",
            "</｜｜DSML｜｜function_calls>",
        ),
        _invokes,
    ),
    Notation(("<minimax:tool_call>",), ("</minimax:tool_call>",), _invokes),
    Notation(("<function_calls>",), ("</function_calls>",), _invokes),
    Notation(("<" + "antml:function_calls>",), ("</" + "antml:function_calls>",), _invokes),
    Notation(("<TOOLCALL>",), ("</TOOLCALL>",), _after("<TOOLCALL>")),
    Notation(("[TOOL_CALLS]",), (), _mistral),
    Notation(("<|python_tag|>",), ("<|eom_id|>", "<|eot_id|>"), _after("<|python_tag|>")),
    Notation(("<|tool_call|>",), (), _after("<|tool_call|>")),
    Notation(("<|channel|>commentary",), ("<|call|>",), _pairs(_HARMONY)),
)
