"""Running the checks, and looking for the quirks with which what fails would pass."""

from __future__ import annotations

import re
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from msgspec import Struct, field

from claude_code_proxy.cli.certify.bench import Asked, Bench
from claude_code_proxy.cli.certify.profile import Profile, loaded_with, toml
from claude_code_proxy.cli.certify.variants import worth
from claude_code_proxy.cli.certify.verdicts import Result, Verdict, absent
from claude_code_proxy.cli.ending import CommandError
from claude_code_proxy.cli.local_proxy import running
from claude_code_proxy.cli.paint import printable
from claude_code_proxy.providers import known_quirks
from claude_code_proxy.tables import Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from claude_code_proxy.cli.certify.checks import Check
    from claude_code_proxy.routing import Target
    from claude_code_proxy.settings import Settings

SAMPLES: Final = 3
"""How often a check is tried in all where the first try was weak."""

COULD_NOT: Final = 3
"""The exit status where nothing could be found out."""

_FINAL: Final = frozenset({401, 402, 403, 404, 429, 502, 529})
"""Statuses of a first answer that say nothing of the model: no key, no credit, no such model, nobody there,
or nobody with time."""

_MOST: Final = 10
"""Changes that are tried for one check."""

_OPEN: Final = frozenset({400, 404, 405, 415, 422, 501})
"""Statuses with which a backend says that it has no such thing."""

_NOT_HERE: Final = re.compile("not support|unsupported", re.IGNORECASE)
"""Its words, where it takes its lack for a fault of its own (llama.cpp)."""


class Subject(Struct, frozen=True):
    """What is certified: the model as it is named, and the target behind it, unless a proxy elsewhere knows that.

    `extra` are provider tables beside those of config.toml.
    """

    model: str
    settings: Settings
    target: Target | None = None
    base_url: str = ""
    path: str = ""
    near: bool = False
    long: bool = False
    extra: Mapping[str, Mapping[str, Any]] = {}

    @property
    def name(self) -> str:
        """What the report calls it."""
        return str(self.target) if self.target else f"{self.model} at {self.base_url}/{self.path}".rstrip("/")


class Report(Struct, kw_only=True):
    """What was found."""

    results: list[Result] = []
    asked: Asked = field(default_factory=Asked)
    profile: str = ""
    mends: list[str] = []
    """The checks that failed and pass with the profile, as it was pasted."""
    window: int = 0


async def certified(subject: Subject, checks: Sequence[Check], tell: Callable[[Result], None]) -> Report:
    """Run the checks in order; each result is told as it comes. Raises `CommandError` if the model cannot be asked."""
    async with AsyncExitStack() as stack:
        url = subject.base_url or await stack.enter_async_context(running(subject.settings))
        bench = _bench(subject, url)
        window, _ = await bench.limits()
        bench.window = window
        await _reached(bench)
        run = _Run(subject, bench, stack)
        for check in checks:
            result = await run.check(check)
            run.report.results.append(result)
            tell(result)
        run.report.asked, run.report.window = bench.asked, bench.window
        await run.finish(known=window)
        return run.report


def _bench(subject: Subject, url: str) -> Bench:
    path = f"/{quote(subject.path, safe='/:@')}" if subject.path else ""
    bench = Bench(url, path, subject.model, subject.settings.proxy_api_key or "any", long=subject.long)
    bench.local = subject.near
    return bench


async def _reached(bench: Bench) -> None:
    """Raises `CommandError` where nobody answers, or refuses whatever is asked."""
    said = await bench.ask("Hi", max_tokens=16, stream=False)
    if said.status in _FINAL:
        told = f"HTTP {said.status}, {printable(said.message)}"
        raise CommandError(f"It cannot be certified: {told}\n`claude-code-proxy doctor` looks further.", COULD_NOT)


def _declined(verdict: Verdict) -> bool:
    """Whether a backend says that it has no such thing."""
    return verdict.status in _OPEN or (verdict.status == 500 and bool(_NOT_HERE.search(verdict.text)))


class _Run:
    """The state of a run: what was found to be needed so far, with which later checks are asked."""

    def __init__(self, subject: Subject, bench: Bench, stack: AsyncExitStack) -> None:
        self._subject, self._bench, self._stack = subject, bench, stack
        self._quirks: dict[str, Any] = {}
        self._checks: dict[str, Check] = {}
        self.report = Report()

    async def check(self, check: Check) -> Result:
        """A check, again where it is weak; with other quirks where it fails."""
        self._checks[check.name] = check
        verdict, good, samples = await self._sampled(check, self._bench)
        quirks, after = await self._mended(check, verdict) if not good else ({}, None)
        if after:
            self._quirks = quirks
            self._bench.url = await self._proxy(quirks)
        if check.optional and not after and verdict.level == "fail" and _declined(verdict):
            verdict = absent(verdict.text, verdict.status)
        return Result(
            name=check.name,
            needed=check.needed,
            level=verdict.level,
            text=verdict.text,
            passed=good,
            samples=samples,
            quirks=quirks,
            with_profile=after,
        )

    async def finish(self, known: int) -> None:
        """The profile, checked as it would be pasted: `known` is the window that needs no telling."""
        target, bench = self._subject.target, self._bench
        if not target:
            return
        limits = Limits(0 if known else bench.found_window, bench.found_output)
        profile = Profile(target.provider.name, target.model, target.provider.dialect, self._quirks, limits)
        if not profile:
            return
        self.report.profile = toml(profile, target, self._subject.settings)
        settings = loaded_with(self.report.profile, self._subject.extra)
        names = [result.name for result in self.report.results if result.with_profile]
        async with running(settings) as url:
            bench.url, bench.sample = url, 0
            for name in names:
                if (await self._checks[name].run(bench)).level in {"pass", "weak"}:
                    self.report.mends.append(name)

    async def _sampled(self, check: Check, bench: Bench) -> tuple[Verdict, int, int]:
        """The verdict, and how many samples of how many passed. A weak one is tried again, with chance."""
        verdicts: list[Verdict] = []
        for sample in range(SAMPLES):
            bench.sample = sample
            verdicts.append(await check.run(bench))
            if verdicts[0].level != "weak":
                break
        bench.sample = 0
        good = sum(one.level == "pass" for one in verdicts)
        worst = next((one for one in verdicts if one.level == "fail"), verdicts[0])
        if good * 2 > len(verdicts) and worst.level != "fail":
            worst = next(one for one in verdicts if one.level == "pass")
        if len(verdicts) == 1:
            return worst, good, 1
        return Verdict(worst.level, f"{good} of {len(verdicts)}: {worst.text}", worst.status), good, len(verdicts)

    async def _mended(self, check: Check, verdict: Verdict) -> tuple[dict[str, Any], Verdict | None]:
        """The quirks with which it works, all that were found before among them, and what is found then."""
        if not (target := self._subject.target) or verdict.level in {"pass", "not tried"}:
            return {}, None
        known = known_quirks(target.provider)
        kept, current, tries = dict(self._quirks), verdict, 0
        while tries < _MOST:
            ahead: tuple[dict[str, Any], Verdict] | None = None
            for quirk, value in worth(check.name, current, target.provider.dialect, {**known, **kept}):
                tries += 1
                quirks = {**kept, quirk: value}
                after = await self._tried(check, quirks)
                if after.level == "pass" or (verdict.level == "fail" and after.level == "weak"):
                    return quirks, after
                if after.level == "fail" and after.text != current.text and not ahead:
                    ahead = quirks, after  # one fault less, perhaps
                if tries == _MOST:
                    break
            if not ahead:
                break
            kept, current = ahead
        return {}, None

    async def _tried(self, check: Check, quirks: Mapping[str, Any]) -> Verdict:
        before = self._bench.url
        async with AsyncExitStack() as stack:
            self._bench.url = await self._proxy(quirks, stack)
            try:
                return await check.run(self._bench)
            finally:
                self._bench.url = before

    async def _proxy(self, quirks: Mapping[str, Any], stack: AsyncExitStack | None = None) -> str:
        """The address of a proxy with these quirks pasted, until the stack is left."""
        target = self._subject.target
        assert target  # noqa: S101  nothing is tried without
        profile = Profile(target.provider.name, target.model, target.provider.dialect, dict(quirks))
        settings = loaded_with(toml(profile, target, self._subject.settings), self._subject.extra)
        return await (stack or self._stack).enter_async_context(running(settings))
