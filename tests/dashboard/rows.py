"""Ledgers to look at: some that are like a developer's weeks, and one whose every text attacks."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any

from claude_code_proxy.ledger.database import connect
from claude_code_proxy.ledger.entry import COLUMNS, Entry, values

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

MODELS = (
    ("openrouter", "anthropic/claude-sonnet-4.5", 3e-6, 15e-6),
    ("openai", "gpt-5.1-codex", 1.25e-6, 10e-6),
    ("gemini", "gemini-3-pro-preview", 2e-6, 12e-6),
    ("ollama", "qwen3-coder:30b", None, None),
    ("openrouter", "z-ai/glm-4.7", 0.6e-6, 2.2e-6),
)
PROJECTS = ("/home/ada/src/engine", "/home/ada/src/notes-app", "/home/ada/src/billing")
CLIENT = "claude-cli/2.1.187 (external, cli)"
_DAY = 86_400
_INSERT = f"INSERT INTO requests ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"

XSS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg/onload=alert(1)>",
    "javascript:alert(1)//",
    "</title></textarea></style></script><script>alert(1)</script>",
    "<iframe srcdoc='<script>parent.alert(1)</script>'></iframe>",
    "{{7*7}}{% for x in ().__class__.__base__.__subclasses__() %}x{% endfor %}",
    "<a href=javascript:alert(1) autofocus onfocus=alert(1)>x</a>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "\u202e<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    "]]><script>alert(1)</script>",
    "<link rel=stylesheet href=//evil.test/x.css><meta http-equiv=refresh content='0;url=//evil.test'>",
)
"""What becomes a script where it is not taken for text."""


def some(many: int, days: float = 30, seed: int = 7, now: float | None = None) -> Iterable[Entry]:
    """Requests as a developer makes them, over so many days."""
    chance = random.Random(seed)
    now = now or time.time()
    for number in range(many):
        session = chance.randrange(max(3, many // 60))
        provider, model, price_in, price_out = MODELS[min(session % 7, 4)]
        came_to = chance.choices(("ok", "client_closed", "upstream_error", "timeout", "shed"), (93, 3, 3, 1, 0.5))[0]
        good = came_to == "ok"
        fresh, cached, out = chance.randrange(300, 9000), chance.randrange(0, 90_000), chance.randrange(20, 2400)
        first = chance.lognormvariate(0.1, 0.6)
        began = now - chance.random() ** 1.4 * days * _DAY - 60
        told = good or came_to == "client_closed"
        cost = fresh * price_in + cached * price_in / 10 + out * (price_out or 0) if price_in and told else None
        name = f"{provider}:{model}"
        tried = {"ok": [f"{name}: ok"], "upstream_error": [f"{name}: 529", f"{name}: 529"]}.get(came_to, [])
        if good and number % 23 == 0:
            tried = [f"{MODELS[0][0]}:{MODELS[0][1]}: 529", f"{name}: ok"]
        yield Entry(
            id=f"req_{number:024x}", began=began, owner="desk/4242/1", endpoint="messages", client=CLIENT,
            session=f"{session:08x}-5b1c-4d2e-9f00-{session:012x}", project=PROJECTS[session % 3],
            client_model=chance.choice(("claude-sonnet-4-5", "claude-opus-4-5", "claude-haiku-4-5")),
            kind=chance.choice(("", "", "background", "think")), rule="BIG_MODEL", provider=provider, model=model,
            stream=1, attempts=len(tried), tried=" | ".join(tried), state=came_to,
            status={"ok": 200, "client_closed": 499, "upstream_error": 529, "timeout": 504, "shed": 529}[came_to],
            error={"upstream_error": "overloaded_error", "timeout": "timeout_error", "shed": "overloaded_error"}.get(came_to, ""),
            stop="tool_use" if good and chance.random() < 0.7 else "end_turn" if good else "",
            first=first if told else None, seconds=first + out / 70 if told else chance.uniform(0.2, 40),
            input=fresh if told else None, output=out if told else None, cache_read=cached if told else None,
            thinking=out // 4 if told else None, cost=cost, priced="list" if cost else "",
            received=chance.randrange(20_000, 900_000), sent=out * 30 if told else 180,
        )  # fmt: skip


def hostile() -> Iterable[Entry]:
    """Requests, each of whose texts is an attack."""
    now = time.time()
    texts = ("client", "session", "agent", "project", "client_model", "kind", "rule", "provider", "model", "tried")
    for number, attack in enumerate(XSS):
        everywhere: dict[str, Any] = dict.fromkeys((*texts, "error", "stop", "priced", "owner", "state"), attack)
        yield Entry(
            id=f"req_{number:03d}{attack.rstrip('/')}" if number % 2 else f"req_{number:03d}", began=now - number - 1,
            endpoint="messages", input=10, output=5, cost=0.01, seconds=1.0, first=0.5, **everywhere,
        )  # fmt: skip


def keep(place: Path | str, entries: Iterable[Entry]) -> None:
    """Write them into the ledger there."""
    database = connect(str(place))
    try:
        database.write((_INSERT, [values(entry) for entry in entries]))
    finally:
        database.close()
