"""How models write tool calls in their own notation, before a server makes fields of them.

Each reader takes the whole notation, its tags included, and gives the calls in it, or raises; nothing of the
text may be left over. The notations are those of the models' chat templates, as of November 2026.
"""

from __future__ import annotations

import ast
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
    reader: Callable[[str], list[Said]]

    def read(self, text: str) -> list[Said]:
        """The calls in the whole notation; none if it does not read without an error."""
        try:
            return self.reader(text)
        except UnreadableError:
            return []


class UnreadableError(ValueError):
    """The text is no call in this notation, or not all of one."""


def _json(text: str) -> Any:
    try:
        return msgspec.json.decode(text.strip())
    except (msgspec.DecodeError, RecursionError) as cause:
        raise UnreadableError(str(cause)) from None


def _one(said: Any) -> Said:
    """A call as a JSON object: `{"name", "arguments"}` or `{"name", "parameters"}`."""
    call = fields(said)
    name = call.get("name")
    arguments = call.get("arguments", call.get("parameters", {}))
    if isinstance(arguments, str):
        arguments = _json(arguments)
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise UnreadableError(str(said))
    return name, arguments


def _objects(text: str) -> list[Said]:
    """A JSON object, or a list of them."""
    said = _json(text)
    return [_one(one) for one in (said if isinstance(said, list) else [said])]


_BARE: Final = frozenset({"name", "arguments", "parameters", "type", "id"})


def _bare(text: str) -> list[Said]:
    """A JSON object that is nothing but a call: other objects have names too."""
    said = fields(_json(text))
    if not _BARE.issuperset(said) or not {"arguments", "parameters"} & set(said):
        raise UnreadableError(text)
    return [_one(said)]


def _all(pattern: re.Pattern[str], text: str) -> list[re.Match[str]]:
    """The matches that make up the whole text, with nothing but white space between them."""
    found: list[re.Match[str]] = []
    at = 0
    while rest := text[at:].strip():
        start = text.index(rest[0], at)
        match = pattern.match(text, start)
        if match is None:
            raise UnreadableError(rest)
        found.append(match)
        at = match.end()
    return found


def _inside(text: str, opener: str, *closers: str) -> str:
    """The text without the tags around it, of which the last may be missing."""
    text = text.strip().removeprefix(opener)
    for closer in closers:
        text = text.removesuffix(closer)
    return text


_FUNCTION = re.compile(r"<function=([^>\s]+)>(.*?)</function>(?=\s*(?:<function=|\Z))", re.DOTALL)
_PARAMETER = re.compile(r"<parameter=([^>\s]+)>\n?(.*?)\n?</parameter>(?=\s*(?:<parameter=|\Z))", re.DOTALL)
_GLM = re.compile(r"\s*([^\s<]+)\s*(.*)", re.DOTALL)
_GLM_PAIR = re.compile(r"<arg_key>(.*?)</arg_key>\s*<arg_value>(.*?)</arg_value>", re.DOTALL)


def _functions(text: str) -> list[Said]:
    """Qwen3-Coder, Nemotron 3: `<function=X><parameter=k>v</parameter></function>`."""
    calls = [(found[1], found[2]) for found in _all(_FUNCTION, text)]
    return [(name, {found[1]: found[2] for found in _all(_PARAMETER, body)}) for name, body in calls]


def _tool_call(text: str) -> list[Said]:
    """`<tool_call>`: JSON (Hermes, Qwen), functions (Qwen3-Coder), or keys and values (GLM)."""
    inside = _inside(text, "<tool_call>", "</tool_call>").strip()
    if inside.startswith("<function="):
        return _functions(inside)
    if inside.startswith(("{", "[")):
        return _objects(inside)
    named = _GLM.fullmatch(inside)
    if named is None or not text.rstrip().endswith("</tool_call>"):  # without its end more arguments may be missing
        raise UnreadableError(inside)
    return [(named[1], {found[1]: found[2] for found in _all(_GLM_PAIR, named[2])})]


_KIMI = re.compile(
    r"<\|tool_call_begin\|>\s*(?:functions\.)?([^\s<]+?)(?::\d+)?\s*<\|tool_call_argument_begin\|>(.*?)<\|tool_call_end\|>",
    re.DOTALL,
)
_DEEPSEEK = re.compile(
    "<｜tool▁call▁begin｜>(?:function<｜tool▁sep｜>)?([^\n<{]+?)(?:<｜tool▁sep｜>|\n)(?:```json\n)?(.*?)(?:\n```)?<｜tool▁call▁end｜>",
    re.DOTALL,
)
_HARMONY = re.compile(
    r"<\|channel\|>commentary.*?to=(?:functions\.)?([\w.-]+).*?<\|message\|>(.*?)(?:<\|call\|>|\Z)", re.DOTALL
)


def _pairs(pattern: re.Pattern[str], opener: str = "", closer: str = "") -> Callable[[str], list[Said]]:
    """Notations of a name and JSON."""

    def read(text: str) -> list[Said]:
        calls = _all(pattern, _inside(text, opener, closer))
        return [_one({"name": found[1], "arguments": _json(found[2])}) for found in calls]

    return read


_INVOKE = re.compile(r'<([^<>]*?)invoke name="([^"]+)">(.*?)</\1invoke>', re.DOTALL)
_ARGUMENT = re.compile(r'<([^<>]*?)parameter name="([^"]+)"([^>]*)>(.*?)</\1parameter>', re.DOTALL)


def _invokes(opener: str, closer: str) -> Callable[[str], list[Said]]:
    """`<invoke name="X"><parameter name="k">v</parameter></invoke>` in some wrapping: MiniMax, DeepSeek, Claude."""

    def read(text: str) -> list[Said]:
        calls = _all(_INVOKE, _inside(text, opener, closer))
        return [(found[2], dict(map(_argument, _all(_ARGUMENT, found[3])))) for found in calls]

    return read


def _argument(found: re.Match[str]) -> tuple[str, Any]:
    return found[2], _json(found[4]) if 'string="false"' in found[3] else found[4]


def _mistral(text: str) -> list[Said]:
    """`[TOOL_CALLS][{…}]`, or `[TOOL_CALLS]X[ARGS]{…}` once for each call."""
    inside = text.strip().removeprefix("[TOOL_CALLS]")
    if inside.lstrip().startswith("["):
        return _objects(inside)
    said: list[Said] = []
    for one in inside.split("[TOOL_CALLS]"):
        name, _, arguments = one.partition("[ARGS]")
        said.append(_one({"name": name.partition("[CALL_ID]")[0].strip(), "arguments": _json(arguments)}))
    return said


def _between(opener: str, *closers: str) -> Callable[[str], list[Said]]:
    """JSON between an opener and the end, or a closing tag."""
    return lambda text: _objects(_inside(text, opener, *closers))


def _python(text: str) -> list[Said]:
    """Llama 4: a Python list of calls with keywords and literals."""
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        calls = tree.elts if isinstance(tree, ast.List) else []
        said = [_python_call(call) for call in calls]
        msgspec.json.encode(said)  # Python has values that JSON has not
    except (SyntaxError, TypeError, ValueError, RecursionError, MemoryError) as cause:
        raise UnreadableError(str(cause)) from None
    return said


def _python_call(call: ast.expr) -> Said:
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.args:
        raise UnreadableError(ast.dump(call))
    arguments: dict[str, Any] = {}
    for word in call.keywords:
        if word.arg is None:
            raise UnreadableError(ast.dump(call))
        arguments[word.arg] = ast.literal_eval(word.value)
    return call.func.id, arguments


_DSML: Final = tuple(
    (f"<{bars}DSML{bars}{kind}>", f"</{bars}DSML{bars}{kind}>")
    for bars in ("｜", "｜｜")
    for kind in ("function_calls", "tool_calls")
)
_ANTML: Final = "antml:"

NOTATIONS: Final[tuple[Notation, ...]] = (
    Notation(("<tool_call>",), ("</tool_call>",), _tool_call),
    Notation(("<function=",), ("</function>",), _functions),
    Notation(("● <function=",), ("</function>",), lambda text: _functions(text.strip().removeprefix("● "))),
    Notation(
        ("<|tool_calls_section_begin|>",),
        ("<|tool_calls_section_end|>",),
        _pairs(_KIMI, "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"),
    ),
    Notation(
        ("<｜tool▁calls▁begin｜>",),
        ("<｜tool▁calls▁end｜>",),
        _pairs(_DEEPSEEK, "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"),
    ),
    *(
        Notation((opener,), (closer,), _invokes(opener, closer))
        for opener, closer in (
            *_DSML,
            ("<minimax:tool_call>", "</minimax:tool_call>"),
            ("<function_calls>", "</function_calls>"),
            (f"<{_ANTML}function_calls>", f"</{_ANTML}function_calls>"),
        )
    ),
    Notation(("<TOOLCALL>",), ("</TOOLCALL>",), _between("<TOOLCALL>", "</TOOLCALL>")),
    Notation(("[TOOL_CALLS]",), (), _mistral),
    Notation(
        ("<|python_tag|>",),
        ("<|eom_id|>", "<|eot_id|>"),
        _between("<|python_tag|>", "<|eom_id|>", "<|eot_id|>"),
    ),
    Notation(("<|tool_call|>",), (), _between("<|tool_call|>")),
    Notation(("<|channel|>commentary",), ("<|call|>",), _pairs(_HARMONY)),
)


def whole_replies(tools: tuple[str, ...]) -> tuple[Notation, ...]:
    """Notations without marks of their own, looked for at the very beginning of a reply only: JSON, and Python."""
    json_openers = ('{"name":', '{"name" :', '{"type": "function"', '{"type":"function"')
    return (
        Notation(json_openers, (), _bare),
        Notation(tuple(f"[{name}(" for name in tools), (), _python),
    )
