"""The checks: one table. Each is a function of one idea that asks a model and gives its verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from claude_code_proxy.cli.certify.checks import edges, media, sizes, talk, tools

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from claude_code_proxy.cli.certify.bench import Bench
    from claude_code_proxy.cli.certify.verdicts import Verdict

    Run = Callable[[Bench], Awaitable[Verdict]]


class Check(NamedTuple):
    """A check. Claude Code does not work without what is `needed`; what is `optional` a backend may refuse.

    `requests` and `tokens` (in and out together) are what one sample takes, about.
    """

    name: str
    run: Run
    title: str
    needed: bool = False
    optional: bool = False
    requests: int = 1
    tokens: int = 200


CHECKS: Final = (
    Check("answer", talk.answer, "answers", needed=True),
    Check("stream", talk.stream, "streams, by the grammar", needed=True, tokens=300),
    Check("probe", talk.probe, "answers `/model`, which asks for one token"),
    Check("system", talk.system, "obeys the system prompt", needed=True),
    Check("system-between", talk.system_between, "takes system messages between turns", needed=True),
    Check("tool", tools.one, "calls a tool with the right arguments", needed=True, tokens=400),
    Check("tool-result", tools.result, "uses the result of a tool", needed=True, requests=2, tokens=800),
    Check("tool-parallel", tools.parallel, "calls two tools at once", requests=2, tokens=1000),
    Check("tool-forced", tools.forced, "can be made to call a tool", optional=True, tokens=400),
    Check("tool-none", tools.forbidden, "can be kept from calling a tool", optional=True, tokens=400),
    Check("tool-many", tools.many, "finds the right one of 20 tools", needed=True, tokens=3500),
    Check("tool-long", tools.long, "writes long arguments, whatever is in them", tokens=1200),
    Check("thinking", talk.thinking, "shows its thinking, and takes it back", optional=True, requests=2, tokens=3000),
    Check("image", media.image, "reads an image", optional=True, tokens=1500),
    Check("pdf", media.document, "reads a PDF", optional=True, tokens=2500),
    Check("structured", talk.structured, "answers in a JSON schema", optional=True, tokens=400),
    Check("stop-sequence", talk.stop_sequence, "stops at a stop sequence"),
    Check("max-tokens", talk.max_tokens, "keeps to max_tokens"),
    Check("output-limit", sizes.output_limit, "takes Claude Code's output limit"),
    Check("usage", sizes.usage, "counts tokens plausibly", requests=2, tokens=1000),
    Check("cache", sizes.cache, "caches a prompt that is sent again", optional=True, requests=2, tokens=9000),
    Check("count-tokens", sizes.count_tokens, "count_tokens agrees with its replies", tokens=600),
    Check("long-context", sizes.needle, "finds a needle in a long prompt", tokens=sizes.NEEDLE),
    Check("too-long", sizes.too_long, "says when a prompt is too long", needed=True, tokens=0),
    Check("unknown-model", edges.unknown_model, "says that there is no such model", tokens=0),
    Check("interrupt", edges.interrupt, "ends when the client leaves", requests=2, tokens=500),
    Check("speed", edges.speed, "is quick enough to work with", requests=0, tokens=0),
)
