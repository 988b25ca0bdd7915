"""How models write tool calls in their own notation, as a server leaves them in the text that does not know it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from upstreams.server import pieces

from .deviations import chunk, whole_calls

if TYPE_CHECKING:
    from collections.abc import Callable

    from .deviations import Chunk, Edit

PIECE = 5

Calls = list[tuple[str, dict[str, Any]]]


def as_text(value: Any) -> str:
    """Write a value where the notation has no types."""
    return value if isinstance(value, str) else json.dumps(value)


def hermes(calls: Calls) -> str:
    objects = (json.dumps({"name": name, "arguments": said}, ensure_ascii=False) for name, said in calls)
    return "\n".join(f"<tool_call>\n{one}\n</tool_call>" for one in objects)


def qwen_coder(calls: Calls) -> str:
    out = []
    for name, said in calls:
        values = "".join(f"<parameter={key}>\n{as_text(value)}\n</parameter>\n" for key, value in said.items())
        out.append(f"<tool_call>\n<function={name}>\n{values}</function>\n</tool_call>")
    return "\n".join(out)


def glm(calls: Calls) -> str:
    out = []
    for name, said in calls:
        pairs = (f"<arg_key>{k}</arg_key>\n<arg_value>{as_text(v)}</arg_value>\n" for k, v in said.items())
        out.append(f"<tool_call>{name}\n{''.join(pairs)}</tool_call>")
    return "\n".join(out)


def kimi(calls: Calls) -> str:
    each = (
        f"<|tool_call_begin|>functions.{name}:{i}<|tool_call_argument_begin|>{json.dumps(said)}<|tool_call_end|>"
        for i, (name, said) in enumerate(calls)
    )
    return f"<|tool_calls_section_begin|>{''.join(each)}<|tool_calls_section_end|>"


def deepseek_v3(calls: Calls) -> str:
    each = (
        f"<｜tool▁call▁begin｜>function<｜tool▁sep｜>{name}\n```json\n{json.dumps(said)}\n```<｜tool▁call▁end｜>"
        for name, said in calls
    )
    return "<｜tool▁calls▁begin｜>" + "\n".join(each) + "<｜tool▁calls▁end｜>"


def deepseek_v31(calls: Calls) -> str:
    each = (f"<｜tool▁call▁begin｜>{name}<｜tool▁sep｜>{json.dumps(said)}<｜tool▁call▁end｜>" for name, said in calls)
    return f"<｜tool▁calls▁begin｜>{''.join(each)}<｜tool▁calls▁end｜>"


def dsml(bar: str, outer: str) -> Callable[[Calls], str]:
    mark = f"{bar}DSML{bar}"

    def write(calls: Calls) -> str:
        out = [f"<{mark}{outer}>"]
        for name, said in calls:
            out.append(f'<{mark}invoke name="{name}">')
            for key, value in said.items():
                typed = "true" if isinstance(value, str) else "false"
                out.append(f'<{mark}parameter name="{key}" string="{typed}">{as_text(value)}</{mark}parameter>')
            out.append(f"</{mark}invoke>")
        return "\n".join([*out, f"</{mark}{outer}>"])

    return write


def invokes(outer: str, prefix: str = "") -> Callable[[Calls], str]:
    def write(calls: Calls) -> str:
        out = [f"<{outer}>"]
        for name, said in calls:
            values = (
                f'<{prefix}parameter name="{key}">{as_text(value)}</{prefix}parameter>' for key, value in said.items()
            )
            out += [f'<{prefix}invoke name="{name}">', *values, f"</{prefix}invoke>"]
        return "\n".join([*out, f"</{outer}>"])

    return write


def listed(opener: str, closer: str = "", arguments: str = "arguments") -> Callable[[Calls], str]:
    return lambda calls: opener + json.dumps([{"name": name, arguments: said} for name, said in calls]) + closer


def mistral_v11(calls: Calls) -> str:
    return "".join(f"[TOOL_CALLS]{name}[ARGS]{json.dumps(said)}" for name, said in calls)


def llama(calls: Calls) -> str:
    [(name, said)] = calls
    return f"<|python_tag|>{json.dumps({'name': name, 'parameters': said})}<|eom_id|>"


def harmony(calls: Calls) -> str:
    each = (
        f"<|channel|>commentary to=functions.{name} <|constrain|>json<|message|>{json.dumps(said)}<|call|>"
        for name, said in calls
    )
    return "\n".join(each)


NOTATIONS: dict[str, Callable[[Calls], str]] = {
    "Hermes": hermes,
    "Qwen3-Coder": qwen_coder,
    "GLM": glm,
    "Kimi": kimi,
    "DeepSeek V3": deepseek_v3,
    "DeepSeek V3.1": deepseek_v31,
    "DeepSeek V3.2": dsml("｜", "function_calls"),
    "DeepSeek V4": dsml("｜", "tool_calls"),
    "DeepSeek V4 with doubled bars": dsml("｜｜", "tool_calls"),
    "MiniMax": invokes("minimax:tool_call"),
    "Claude": invokes("function_calls"),
    "Mistral": listed("[TOOL_CALLS]"),
    "Mistral v11": mistral_v11,
    "gpt-oss": harmony,
    "Nemotron": listed("<TOOLCALL>", "</TOOLCALL>"),
    "Granite": listed("<|tool_call|>"),
}


def leaking(write: Callable[[Calls], str], where: str = "content") -> Edit:
    """Write calls into the text, behind it, in small pieces."""

    def edit(chunks: list[Chunk]) -> list[Chunk]:
        out: list[Chunk] = []
        calls: Calls = []
        for one in whole_calls(chunks):
            delta = one["choices"][0]["delta"] if one["choices"] else {}
            for part in delta.pop("tool_calls", []):
                calls.append((part["function"]["name"], json.loads(part["function"]["arguments"])))
            out.append(one)
        out[-2]["choices"][0]["finish_reason"] = "stop"
        text = f"\n{write(calls)}" if calls else ""
        return [*out[:-2], *(chunk({where: piece}) for piece in pieces(text, PIECE)), *out[-2:]]

    return edit
