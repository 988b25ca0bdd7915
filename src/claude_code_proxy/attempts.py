"""Who is asked for a reply, in which order, with which key and how often, until one has begun.

The targets take their turn: the next one is asked at once, rather than the same one again. The last of them is asked
again a few times, for what may pass within seconds, and each key of a provider once, before anybody waits.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct, field

from claude_code_proxy import policy
from claude_code_proxy.health import Key, numbered, waiting
from claude_code_proxy.wire.failure import ApiError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from claude_code_proxy.health import Health
    from claude_code_proxy.routing import Target
    from claude_code_proxy.wire.failure import Failed

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Attempt:
    """One request to one target, with one key.

    `by`: when, in the time of the event loop, the reply must have begun. `sent`: the upstream has been turned to, so
    that what comes of it says something of the target.
    """

    __slots__ = ("by", "key", "sent", "target")

    def __init__(self, target: Target, key: Key, by: float) -> None:
        self.target, self.key, self.by = target, key, by
        self.sent = False

    def was_sent(self) -> bool:
        """Whether the upstream has been turned to."""
        return self.sent

    def __str__(self) -> str:
        key = numbered(self.target.provider, self.key)
        return f"{self.target} with {key}" if key else self.target.name


class Wish(Struct):
    """What is wanted, and of whom.

    `patience` gives the seconds within which a target must begin its reply, all attempts together. `session` is what
    requests of one conversation have in common, or empty. `repeated`: the client asks for the same not for the first
    time. `retries`: how often the last target may be asked again (None: see `policy.retries`). `tried` is filled: who
    was asked, and the outcome. `chance` gives a number between two, `pause` waits.
    """

    targets: Sequence[Target]
    patience: Callable[[Target], float]
    session: str = ""
    repeated: bool = False
    retries: int | None = None
    tried: list[str] = field(default_factory=list)
    chance: Callable[[float, float], float] = random.uniform
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep


async def first_reply(wish: Wish, health: Health, ask: Callable[[Attempt], Awaitable[T]]) -> T:
    """What `ask` gives for the first target that replies. Raises the `ApiError` that the client is to be told."""
    failures: list[Failed] = []
    targets = health.in_order(wish.targets)
    for target in targets:
        has_next = target is not targets[-1]
        retries = 0 if has_next or (wish.repeated and failures) else wish.retries
        try:
            return await _reply_of(target, retries, wish, health, ask)
        except ApiError as cause:
            if not policy.falls_back(cause.failed):
                raise
            failures.append(cause.failed)
            if len(targets) > 1:
                _log.warning("%s failed: %d %s", target, cause.failed.status, cause.failed.type)
    raise ApiError(policy.told(failures))


async def _reply_of(
    target: Target,
    retries: int | None,
    wish: Wish,
    health: Health,
    ask: Callable[[Attempt], Awaitable[T]],
) -> T:
    """The reply of one target, with each of its keys and after as many retries as it takes and is allowed."""
    clock = asyncio.get_running_loop().time
    by = clock() + wish.patience(target)
    health.asked(target)
    used: set[str] = set()  # keys since the last pause
    again = 0
    while True:
        attempt = Attempt(target, health.key(target, wish.session), by)
        try:
            with health.learning(target, attempt.key, attempt.was_sent):
                reply = await ask(attempt)
        except ApiError as cause:
            failure = cause.failed
            wish.tried.append(f"{attempt}: {failure.status}")
            if not attempt.sent:
                raise
        else:
            wish.tried.append(f"{attempt}: ok")
            return reply
        used.add(attempt.key.value)
        if policy.rotates(failure) and clock() < by and _fresh(target, wish, health) not in {None, *used}:
            _log.warning("%s failed: %d %s; the next key is used", attempt, failure.status, failure.type)
            continue
        failure = _as_told(failure, target, health)
        seconds = policy.pause(again, failure, wish.chance) if again < policy.retries(failure, retries) else None
        if seconds is None or clock() + seconds >= by or not health.again(target):
            raise ApiError(failure)
        _log.warning("%s failed: %d %s; again in %.1f s", attempt, failure.status, failure.type, seconds)
        await wish.pause(seconds)
        again += 1
        used.clear()


def _fresh(target: Target, wish: Wish, health: Health) -> str | None:
    """A key that does not rest."""
    return None if health.wait(target) > 0 else health.key(target, wish.session).value


def _as_told(failure: Failed, target: Target, health: Health) -> Failed:
    """A limit that every key has met ends when it ends for one of them."""
    if failure.status != 429 or len(target.provider.api_keys) < 2 or not (wait := health.wait(target)):
        return failure
    return waiting(failure, math.ceil(wait))
