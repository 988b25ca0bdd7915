"""Tool calls as models write them in their own notations (wire.md §9.7)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from claude_code_proxy.wire.messages import Tool

SCHEMA = {
    "type": "object",
    "properties": {
        "path": {"type": "string"},
        "n": {"type": "integer"},
        "x": {"type": "number"},
        "flag": {"type": "boolean"},
        "list": {"type": "array"},
        "object": {"type": "object"},
        "maybe": {"type": ["integer", "null"]},
        "either": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
    },
}
TOOLS: dict[str, Tool] = {
    "Read": {"name": "Read", "input_schema": SCHEMA},
    "mcp__a_1": {"name": "mcp__a.long", "input_schema": SCHEMA},
}
VALUES: dict[str, Any] = {"path": 'a "b".py', "n": 5, "flag": True, "list": [1, "ü"]}
OTHER: dict[str, Any] = {"path": "second"}

BAR, LOW = "\uff5c", "\u2581"  # the bars and underscores of DeepSeek's own tokens


def as_json(name: str, arguments: dict[str, Any], key: str = "arguments") -> str:
    return json.dumps({"name": name, key: arguments}, ensure_ascii=False)


def as_word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def qwen(name: str, arguments: dict[str, Any]) -> str:
    inside = "".join(f"<parameter={key}>\n{as_word(value)}\n</parameter>\n" for key, value in arguments.items())
    return f"<function={name}>\n{inside}</function>"


def glm(name: str, arguments: dict[str, Any]) -> str:
    pairs = "".join(f"<arg_key>{key}</arg_key>\n<arg_value>{as_word(v)}</arg_value>\n" for key, v in arguments.items())
    return f"{name}\n{pairs}"


def kimi(name: str, arguments: dict[str, Any]) -> str:
    said = json.dumps(arguments)
    return f"<|tool_call_begin|>functions.{name}:0<|tool_call_argument_begin|>{said}<|tool_call_end|>"


def deepseek(said: str) -> str:
    return f"<{BAR}tool{LOW}call{LOW}begin{BAR}>{said}<{BAR}tool{LOW}call{LOW}end{BAR}>"


def deepseek_r1(name: str, arguments: dict[str, Any]) -> str:
    return deepseek(f"function<{BAR}tool{LOW}sep{BAR}>{name}\n```json\n{json.dumps(arguments)}\n```")


def deepseek_v31(name: str, arguments: dict[str, Any]) -> str:
    return deepseek(f"{name}<{BAR}tool{LOW}sep{BAR}>{json.dumps(arguments)}")


def invoked(prefix: str, name: str, arguments: dict[str, Any], *, told: bool = False) -> str:
    """Calls as XML; `told`: each parameter says whether it is a string."""

    def parameter(key: str, value: Any) -> str:
        kind = f' string="{str(isinstance(value, str)).lower()}"' if told else ""
        return f'<{prefix}parameter name="{key}"{kind}>{as_word(value)}</{prefix}parameter>\n'

    inside = "".join(parameter(key, value) for key, value in arguments.items())
    return f'<{prefix}invoke name="{name}">\n{inside}</{prefix}invoke>\n'


DSML, DSML2, ANTML = f"{BAR}DSML{BAR}", f"{BAR}{BAR}DSML{BAR}{BAR}", "ant" + "ml:"
ONE, TWO = ("Read", VALUES), ("mcp__a_1", OTHER)
Made = tuple[str, str]
"""The opening and inside of a notation, and its end."""


def notations_of(*calls: tuple[str, dict[str, Any]]) -> dict[str, Made]:
    """Every notation that can hold several calls in one, with these."""

    def each(one: Any, **how: Any) -> str:
        return "".join(one(name, arguments, **how) for name, arguments in calls)

    def xml(tag: str, prefix: str, *, told: bool = False) -> Made:
        inside = "".join(invoked(prefix, name, arguments, told=told) for name, arguments in calls)
        return f"<{prefix}{tag}>\n{inside}", f"</{prefix}{tag}>"

    listed = json.dumps([{"name": name, "arguments": arguments} for name, arguments in calls])
    return {
        "Kimi K2": (f"<|tool_calls_section_begin|>{each(kimi)}", "<|tool_calls_section_end|>"),
        "DeepSeek R1": (f"<{BAR}tool{LOW}calls{LOW}begin{BAR}>{each(deepseek_r1)}", f"<{BAR}tool{LOW}calls{LOW}end{BAR}>"),
        "DeepSeek V3.1": (f"<{BAR}tool{LOW}calls{LOW}begin{BAR}>{each(deepseek_v31)}", f"<{BAR}tool{LOW}calls{LOW}end{BAR}>"),
        "DSML": xml("function_calls", DSML, told=True),
        "DSML of V4": xml("tool_calls", DSML, told=True),
        "DSML with doubled bars": xml("tool_calls", DSML2, told=True),
        "MiniMax": (f"<minimax:tool_call>\n{each(lambda n, a: invoked('', n, a))}", "</minimax:tool_call>"),
        "Claude": xml("function_calls", ""),
        "Claude, prefixed": xml("function_calls", ANTML),
        "Mistral": (f"[TOOL_CALLS]{listed}", ""),
        "Mistral v11": (each(lambda n, a: f"[TOOL_CALLS]{n}[ARGS]{json.dumps(a)}"), ""),
        "Nemotron nano v2": (f"<TOOLCALL>{listed}", "</TOOLCALL>"),
        "Granite": (f"<|tool_call|>{listed}", ""),
    }  # fmt: skip


SECTIONS = notations_of(ONE)
SINGLE: dict[str, Made] = {
    "Hermes": (f"<tool_call>\n{as_json(*ONE)}\n", "</tool_call>"),
    "Hermes with parameters": (f"<tool_call>{as_json(*ONE, key='parameters')}", "</tool_call>"),
    "Qwen3-Coder": (f"<tool_call>\n{qwen(*ONE)}\n", "</tool_call>"),
    "Qwen3-Coder without a wrapping": (qwen(*ONE).removesuffix("</function>"), "</function>"),
    "GLM": (f"<tool_call>{glm(*ONE)}", "</tool_call>"),
    "Mistral with an id": (f"[TOOL_CALLS]Read[CALL_ID]abcdefghi[ARGS]{json.dumps(VALUES)}", ""),
    "Llama 3": (f"<|python_tag|>{as_json(*ONE, key='parameters')}", "<|eom_id|>"),
    "gpt-oss": (f"<|channel|>commentary to=functions.Read <|constrain|>json<|message|>{json.dumps(VALUES)}", "<|call|>"),
}  # fmt: skip
NOTATIONS = {**SECTIONS, **SINGLE}
WHOLE = {name: start + end for name, (start, end) in NOTATIONS.items()}
CLOSED = {name: start + end for name, (start, end) in NOTATIONS.items() if end}
TWO_IN_ONE = {name: start + end for name, (start, end) in notations_of(ONE, TWO).items()}
RARE = {
    "bare JSON (Llama 3)": as_json(*ONE, key="parameters"),
    "pythonic (Llama 4)": '[Read(path="a \\"b\\".py", n=5, flag=True, list=[1, "ü"])]',
    "a bullet before it": f"● {qwen(*ONE)}",
    "gpt-oss, name first": f"<|channel|>commentary to=Read<|channel|>json<|message|>{json.dumps(VALUES)}<|call|>",
}
