"""A request as Claude Code makes its main ones: fields, blocks and twenty tools in its style, in our own words.

The shape is that of Claude Code 2.1.330 with an unknown model, measured in November 2026.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

_TEXT: Final[dict[str, Any]] = {"type": "string"}
_FLAG: Final[dict[str, Any]] = {"type": "boolean"}
_WHOLE: Final[dict[str, Any]] = {"type": "integer", "exclusiveMinimum": 0, "maximum": 9007199254740991}
_URL: Final[dict[str, Any]] = {"type": "string", "format": "uri"}
_TEXTS: Final[dict[str, Any]] = {"type": "array", "items": _TEXT}


def _one_of(*values: str) -> dict[str, Any]:
    return {"type": "string", "enum": list(values)}


def _rows(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "items": _object(properties, list(properties))}


def _object(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


_TOOLS: Final[tuple[tuple[str, str, dict[str, Any]], ...]] = (
    ("Bash", "Runs a command in a shell and gives its output.", {"command": _TEXT, "timeout?": _WHOLE}),
    ("Read", "Reads a file. The path must be absolute.", {"file_path": _TEXT, "offset?": _WHOLE, "limit?": _WHOLE}),
    ("Write", "Writes a whole file, in place of one that is there.", {"file_path": _TEXT, "content": _TEXT}),
    (
        "Edit",
        "Replaces a text in a file that was read before.",
        {"file_path": _TEXT, "old_string": _TEXT, "new_string": _TEXT, "replace_all?": {**_FLAG, "default": False}},
    ),
    ("Glob", "Finds files by a pattern such as **/*.ts.", {"pattern": _TEXT, "path?": _TEXT}),
    (
        "Grep",
        "Searches files for a regular expression.",
        {"pattern": _TEXT, "glob?": _TEXT, "output_mode?": _one_of("content", "files_with_matches", "count")},
    ),
    (
        "Agent",
        "Starts an agent of its own for a task of several steps.",
        {"description": _TEXT, "prompt": _TEXT, "subagent_type?": _one_of("general", "explore", "plan")},
    ),
    (
        "TodoWrite",
        "Keeps the list of what is to be done.",
        {"todos": _rows(content=_TEXT, status=_one_of("pending", "in_progress", "completed"))},
    ),
    ("WebFetch", "Fetches a page and answers a question on it.", {"url": _URL, "prompt": _TEXT}),
    ("WebSearch", "Searches the web.", {"query": {**_TEXT, "minLength": 2}, "allowed_domains?": _TEXTS}),
    (
        "AskUserQuestion",
        "Asks the user to choose.",
        {"questions": {**_rows(question=_TEXT, header=_TEXT, options=_rows(label=_TEXT)), "maxItems": 4}},
    ),
    (
        "NotebookEdit",
        "Changes a cell of a notebook.",
        {"notebook_path": _TEXT, "new_source": _TEXT, "edit_mode?": _one_of("replace", "insert", "delete")},
    ),
    ("BashOutput", "Gives what a command in the background has said.", {"bash_id": _TEXT, "filter?": _TEXT}),
    ("KillShell", "Ends a command in the background.", {"shell_id": _TEXT}),
    ("Skill", "Loads instructions for a kind of work.", {"skill": _TEXT, "args?": _TEXT}),
    ("ToolSearch", "Finds further tools by their names.", {"query": _TEXT, "max_results?": {"type": "number"}}),
    ("EnterPlanMode", "Begins to plan without changing anything.", {}),
    ("ExitPlanMode", "Shows the plan to the user.", {"plan": _TEXT}),
    (
        "mcp__tracker__create_issue",
        "Opens an issue.",
        {"title": _TEXT, "labels?": _TEXTS, "fields?": {"type": "object", "additionalProperties": {}}},
    ),
    (
        "mcp__tracker__search_issues",
        "Searches issues.",
        {"query": _TEXT, "state?": {"anyOf": [_one_of("open", "closed"), {"type": "null"}]}},
    ),
)
"""Name, description and inputs; those with `?` may be left out."""


def tools() -> list[dict[str, Any]]:
    """The tools as Claude Code describes its own."""
    return [_tool(*row) for row in _TOOLS]


def _tool(name: str, description: str, inputs: dict[str, Any]) -> dict[str, Any]:
    properties = {key.rstrip("?"): {**held, "description": f"The {key.rstrip('?')}"} for key, held in inputs.items()}
    schema = _object(properties, [key for key in inputs if not key.endswith("?")])
    draft = "https://json-schema.org/draft/2020-12/schema"
    return {"name": name, "description": description, "input_schema": {"$schema": draft, **schema}}


_OLDER: Final = re.compile(r"claude-(?:3|[a-z]+-4)(?:[-.@]|$)")


def older(model: str) -> bool:
    """Whether Claude Code knows it for a Claude before 5: those get no system messages between turns."""
    return bool(_OLDER.search(model.lower()))


def thinking(model: str, budget: int) -> dict[str, Any]:
    """The wish for thinking; older models are given a budget in tokens."""
    if older(model):
        return {"thinking": {"type": "enabled", "budget_tokens": budget}}
    return {"thinking": {"type": "adaptive", "display": "updates"}, "output_config": {"effort": "high"}}


def claude_code(prompt: str, session: str, model: str) -> dict[str, Any]:
    """The body of a main request, without its model, for a session of this id."""
    marked = {"cache_control": {"type": "ephemeral"}}
    user = {"device_id": "0" * 64, "account_uuid": "", "session_id": session}
    place = "The working directory is /srv/app."
    told = (
        "You help with software on the user's machine. Use the tools to look before you answer: "
        "files are read with Read, searched with Grep, changed with Edit. Be brief."
    )
    return {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": prompt, **marked}]},
            *([] if older(model) else [{"role": "system", "content": [{"type": "text", "text": place, **marked}]}]),
        ],
        "system": [
            {"type": "text", "text": "You are a coding agent in a terminal."},
            {"type": "text", "text": told, **marked},
        ],
        "tools": tools(),
        "metadata": {"user_id": json.dumps(user)},
        "max_tokens": 8192,
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "stream": True,
        **thinking(model, 4096),
    }
