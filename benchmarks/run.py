"""`make bench`: what ours costs beside the yardstick and beside others, into docs/performance.md.

Absolute times of a shared machine say little. Each scenario is run on all targets in turn, several times, and what is
told are ratios of medians; CPU time is that of the proxy's own processes. `--quick` makes a tenth of
the requests.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bodies import body
from client import Plan
from processes import HERE, Running, median, played, started, upstream
from targets import MODEL, others, ours, yardstick

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PAGE: Final = HERE.parent / "docs" / "performance.md"
BEGIN, END = "<!-- measured: make bench -->\n", "<!-- end of what was measured -->\n"
WARM: Final = 25
"""Requests before any that count: the first twenty are looked at more closely, to learn how the upstream counts."""

REQUESTS, CHUNKS = 6, 300
"""What a Claude Code that works without a pause asks for in a minute, and the chunks of one answer."""

SMALL, USUAL, LONG = 5_000, 173_000, 1_085_000
"""Bytes of a short question, of a Claude Code request in the middle of a session, and of one near its end."""


@dataclass(frozen=True)
class Scenario:
    """Requests of one kind: their size, the pieces of the answer and the milliseconds between them."""

    name: str
    size: int
    count: int = 10
    pause: int = 0
    total: int = 300
    at_once: int = 1
    ramp: float = 0.0
    stream: bool = True
    native: bool = False


@dataclass(frozen=True)
class Row:
    """A line of the table: a figure of a scenario, its unit, and how often the yardstick's it may be."""

    scenario: str
    tells: str
    figure: str
    unit: str
    most: float = 0.0


SCENARIOS: Final = (
    Scenario("small", SMALL),
    Scenario("usual", USUAL, total=150),
    Scenario("long", LONG, total=40),
    Scenario("burst", SMALL, count=200, total=200, at_once=16),
    Scenario("paced", SMALL, count=100, pause=50, total=200, at_once=200, ramp=3),
    Scenario("whole", SMALL, total=600, at_once=16, stream=False),
    Scenario("usual, native", USUAL, total=200, native=True),
    Scenario("long, native", LONG, total=60, native=True),
    Scenario("burst, native", SMALL, count=200, total=200, at_once=16, native=True),
    Scenario("paced, native", SMALL, count=100, pause=50, total=200, at_once=200, ramp=3, native=True),
)
ROWS: Final = (
    Row("small", "time to first byte, 5 KB", "first", "ms"),
    Row("usual", "time to first byte, 173 KB", "first", "ms", 1.6),
    Row("long", "time to first byte, 1 MB", "first", "ms", 1.6),
    Row("small", "CPU of a request, 5 KB", "request", "ms"),
    Row("usual", "CPU of a request, 173 KB", "request", "ms", 1.6),
    Row("long", "CPU of a request, 1 MB", "request", "ms"),
    Row("burst", "CPU of a stream of 200 chunks at once", "request", "ms", 1.7),
    Row("paced", "CPU of a chunk, 200 streams of 20 a second", "chunk", "µs", 1.5),
    Row("whole", "CPU of a request that is not streamed", "request", "ms", 2.0),
    Row("usual, native", "native: time to first byte, 173 KB", "first", "ms"),
    Row("usual, native", "native: CPU of a request, 173 KB", "request", "ms"),
    Row("long, native", "native: CPU of a request, 1 MB", "request", "ms"),
    Row("burst, native", "native: CPU of a stream of 200 chunks at once", "request", "ms"),
    Row("paced, native", "native: CPU of a chunk, 200 streams", "chunk", "µs"),
)
SWEEP_SIZES: Final = (10_000, 40_000, 173_000, 700_000, 2_800_000, 8_000_000)
SWEEP_COUNTS: Final = (10, 100, 1_000, 10_000)


_OWN: Final = frozenset({"prototype", "ours"})


class WentWrong(SystemExit):
    """Not every request had its answer."""


class Bench:
    """Measures, with bodies kept in a folder. `scale`: how many of a scenario's requests are made."""

    def __init__(self, home: Path, up: int, scale: float) -> None:
        self.home, self.up, self._scale = home, up, scale

    def measured(self, one: Scenario, running: Running | None) -> dict[str, float]:
        """The figures of a scenario on a target, or without one."""
        model = MODEL % {"count": one.count, "pause": one.pause}
        file = self.home / f"{one.size}-{model}-{one.stream}.json"
        if not file.exists():
            file.write_bytes(body(one.size, model=model, stream=one.stream))
        path = "/v1/messages" if one.native else "/v1/chat/completions"
        if running:
            path = running.target.paths[one.native] % {"count": one.count, "pause": one.pause}
        total = one.total if one.pause else max(3 * one.at_once, round(one.total * self._scale))
        plan = Plan(running.port if running else self.up, path, str(file), total, one.at_once, one.ramp)
        if running and not one.pause:
            played(Plan(plan.port, path, str(file), WARM, one.at_once))
        before = running.cpu() if running else 0.0
        report = played(plan)
        cpu = running.cpu() - before if running else 0.0
        if report.wrong:
            raise WentWrong(f"{one.name}: {report.wrong} of {total} requests went wrong")
        return {
            "first": report.first,
            "request": cpu / total * 1e3,
            "chunk": cpu / total / one.count * 1e6,
            "delay": report.delay,
            "load": cpu / report.seconds * 100,
            "rate": total / report.seconds,
            "memory": running.memory() if running else 0.0,
        }

    def compared(self, rounds: int, *, native: bool) -> dict[tuple[str, str, str], float]:
        """The median of every figure, by scenario, target and name. First bytes are those beyond the upstream's own."""
        held: dict[tuple[str, str, str], list[float]] = {}
        with ExitStack() as stack:
            targets = [yardstick(native=native), ours(), *others(self.up, native=native)]
            running = [
                stack.enter_context(started(one, self.up, self.home / one.name / str(native))) for one in targets
            ]
            for one in (scenario for scenario in SCENARIOS if scenario.native == native):
                for _ in range(rounds):
                    direct = self.measured(one, None)
                    for target in running:
                        try:
                            told = self.measured(one, target)
                        except WentWrong as cause:
                            if target.target.name in _OWN:
                                raise
                            sys.stderr.write(f"{target.target.name}: {cause}\n")  # then it has no figure
                            continue
                        told["first"] -= direct["first"]
                        sys.stderr.write(f"{one.name:15} {target.target.name:10} {_shown(told)}\n")
                        for name, value in told.items():
                            held.setdefault((one.name, target.target.name, name), []).append(value)
        return {key: median(values) for key, values in held.items()}


def table(held: dict[tuple[str, str, str], float]) -> Iterator[str]:
    """The ratios. Those of others are to ours: how often ours could do it meanwhile."""
    names = list(dict.fromkeys(target for _, target, _ in held))
    peers = [name for name in names if name not in _OWN]
    yield f"| | prototype | ours ÷ prototype | target |{''.join(f' {name} ÷ ours |' for name in peers)}"
    yield "|---|---|---|---|" + "---|" * len(peers)
    for row in ROWS:
        bare, own = (held[row.scenario, name, row.figure] for name in ("prototype", "ours"))
        times = [held.get((row.scenario, name, row.figure)) for name in peers]
        beside = "".join(f" {one / own:.2g} |" if one else " |" for one in times)
        target = f"≤ {row.most:g}" if row.most else ""
        yield f"| {row.tells} | {bare:.3g} {row.unit} | {own / bare:.2f} | {target} |{beside}"


def sweep(bench: Bench, running: Running) -> Iterator[str]:
    """Whether cost grows as the work does: what each further MB and chunk costs beyond the row above."""
    yield "| body | CPU of a request | each further MB | | chunks | CPU of a stream | each further chunk | memory |"
    yield "|---|---|---|---|---|---|---|---|"
    left: list[str] = []
    right: list[str] = []
    cost = at = 0.0
    for size in SWEEP_SIZES:
        told = bench.measured(Scenario(f"{size} bytes", size, total=max(10, 4_000_000 // size)), running)["request"]
        left.append(f"| {size / 1e6:.3g} MB | {told:.2f} ms | {_more(told - cost, (size - at) / 1e6, 'ms', at)} | ")
        cost, at = told, size
    cost = at = 0.0
    for count in SWEEP_COUNTS:
        figures = bench.measured(
            Scenario(f"{count} chunks", SMALL, count=count, total=max(10, 20_000 // count)), running
        )
        request, memory = figures["request"], figures["memory"]
        more = _more((request - cost) * 1e3, count - at, "µs", at)
        right.append(f"| {count:,} | {request:.2f} ms | {more} | {memory:.0f} MiB |")
        cost, at = request, count
    for n, row in enumerate(left):
        yield row + (right[n] if n < len(right) else "| | | | |")


def _more(cost: float, work: float, unit: str, before: float) -> str:
    return f"{cost / work:.2f} {unit}" if before else ""


def limits(bench: Bench) -> Iterator[str]:
    """What one process carries, what a second adds, and what it takes to start."""
    starts: list[float] = []
    for n in range(5):
        with started(ours(), bench.up, bench.home / f"start{n}") as running:
            starts.append(running.seconds_to_start)
    with started(ours(), bench.up, bench.home / "idle") as running:
        took = min(starts)
        yield f"- start to the first answer: {took:.2f} s (target ≤ 0.6), then {running.memory():.0f} MiB (≤ 70)"
        code = "import time; t = time.process_time(); import claude_code_proxy.app; print(time.process_time() - t)"
        took = min(float(subprocess.check_output([sys.executable, "-c", code])) for _ in range(5))
        yield f"- importing the application: {took:.2f} s of CPU (≤ 0.25)"
        crowd = Scenario("1,000 streams", SMALL, count=200, pause=50, total=1_000, at_once=1_000, ramp=5)
        told, direct = bench.measured(crowd, running), bench.measured(crowd, None)
    with started(yardstick(native=False), bench.up, bench.home / "bare") as running:
        bare = bench.measured(crowd, running)
    yield (
        "- 1,000 streams of 20 chunks a second in one process: none lost, p99 of a chunk's delay"
        f" {told['delay']:.1f} ms (≤ 10; the prototype's {bare['delay']:.1f}, without a proxy {direct['delay']:.1f}),"
        f" {told['load']:.0f} % of a core on average (≤ 80; the prototype {bare['load']:.0f}),"
        f" {told['memory']:.0f} MiB (≤ 150; the prototype {bare['memory']:.0f})"
    )
    burst = Scenario("burst", SMALL, count=200, total=600, at_once=32)
    rates = []
    for workers in (1, 2):
        with started(ours(workers), bench.up, bench.home / f"workers{workers}", pinned=False) as running:
            time.sleep(2)  # until both are there
            rates.append(bench.measured(burst, running))
    one, two = rates
    yield (
        f"- two workers: {two['rate'] / one['rate']:.2f} times the streams a second, with the client and the upstream"
        f" on the same processors; CPU of a stream {two['request'] / one['request']:.2f} times"
    )


def capacity(held: dict[tuple[str, str, str], float]) -> str:
    """How many developers a core serves, from what a request and a chunk have cost."""
    request, chunk = held["usual", "ours", "request"], held["paced", "ours", "chunk"] / 1e3
    minute = REQUESTS * (request + CHUNKS * chunk)
    return (
        f"A Claude Code that works without a pause makes about {REQUESTS} requests a minute, of 173 KB in the middle"
        f" of a session, each answered in some {CHUNKS} chunks: {minute:.0f} ms of CPU a minute"
        f" ({REQUESTS} × ({request:.2f} ms + {CHUNKS} × {chunk * 1e3:.0f} µs)). So a core that is half busy serves"
        f" {30_000 / minute:.0f} of them at once, and more developers than that, who read and think meanwhile."
    )


def _shown(told: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.3f}" for name, value in told.items())


def about() -> str:
    """When this was measured, and how many processes wanted a processor meanwhile."""
    load, processors = os.getloadavg()[1], len(os.sched_getaffinity(0))
    python = sys.version.split()[0]
    return f"Measured {datetime.now(UTC):%Y-%m-%d}, Python {python}, load {load:.1f} on {processors} processors."


def write(lines: Sequence[str]) -> None:
    """Put what was measured onto the page, in the place of what was there."""
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(before + BEGIN + "\n".join(lines) + "\n" + END + after, "utf-8")


def main() -> None:
    """Measure everything, and write it down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as home, upstream() as up:
        bench = Bench(Path(home), up, 0.1 if arguments.quick else 1.0)
        held = bench.compared(arguments.rounds, native=False) | bench.compared(arguments.rounds, native=True)
        lines = ["", about(), "", *table(held), ""]
        with started(ours(), up, bench.home / "sweep") as running:
            lines += [*sweep(bench, running), ""]
        lines += [*limits(bench), "", capacity(held), ""]
    print("\n".join(lines))
    write(lines)


if __name__ == "__main__":
    main()
