"""What is known of the health of providers: which targets are down, which keys rest, how much may be tried again.

It is learned from the requests themselves and kept in memory. Whatever it says, a request is never refused for it:
it decides in which order targets and keys are asked, and how often.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from claude_code_proxy import policy
from claude_code_proxy.breaker import Breakers
from claude_code_proxy.budget import Budget
from claude_code_proxy.cooldown import Cooldowns
from claude_code_proxy.wire.failure import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from claude_code_proxy.providers import Provider
    from claude_code_proxy.routing import Target
    from claude_code_proxy.wire.failure import Failed


class Key(Struct, frozen=True):
    """The key that is used, and its number among the provider's, from 1; both empty where it has no own."""

    value: str = ""
    number: int = 0

    def __repr__(self) -> str:
        return f"Key(number={self.number})"  # never the key


class Health:
    """The health of all providers. `clock` gives seconds that only grow."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._breakers, self._keys = Breakers(), Cooldowns()
        self._budgets: dict[str, Budget] = {}
        self._numbers: dict[tuple[str, str], str] = {}  # of a provider's key: which of how many it is

    def in_order(self, targets: Sequence[Target]) -> Sequence[Target]:
        """The targets, those that are down or whose every key rests behind the others."""
        return sorted(targets, key=self._set_back) if len(targets) > 1 else targets

    def key(self, target: Target, session: str) -> Key:
        """The key to ask a target with."""
        keys = target.provider.api_keys
        if len(keys) < 2:
            return Key(target.provider.api_key, 1) if target.provider.api_key else Key()
        at = self._keys.best(target.provider.name, target.model, keys, session, self._clock())
        return Key(keys[at], at + 1)

    def wait(self, target: Target) -> float:
        """Seconds until one of the target's keys may be used; 0 if one may now, or it has none."""
        provider, now = target.provider, self._clock()
        waits = [self._keys.wait(provider.name, target.model, key, now) for key in _keys(provider)]
        return min(waits, default=0.0)

    def again(self, target: Target) -> bool:
        """Whether a target may be asked once more; if so, that is counted."""
        return self._breakers.closed(target.name) and self._budget(target.provider).spend(self._clock())

    def asked(self, target: Target) -> None:
        """A request comes to a target."""
        self._budget(target.provider).asked(self._clock())

    def learning(self, target: Target, key: Key, sent: Callable[[], bool]) -> Lesson:
        """A block in which a target is asked. What comes of it teaches something, if the request was `sent`."""
        return Lesson(self, target, key, sent)

    def ask(self, target: Target) -> bool:
        """A target is about to be asked. True if this is the probe of its breaker."""
        return self._breakers.ask(target.name, self._clock())

    def left(self, target: Target) -> None:
        """What came of the probe says nothing of the target."""
        self._breakers.left(target.name)

    def worked(self, target: Target, key: Key) -> None:
        """It answered."""
        self._breakers.worked(target.name)
        self._keys.worked(target.provider.name, target.model, key.value)

    def told(self) -> dict[str, Any]:
        """All of it, for people: breakers by target, keys that rest by number, and the retries of the last seconds."""
        now = self._clock()
        resting = [
            {"provider": provider, "model": model, "key": self._numbers.get((provider, key), ""), "seconds": seconds}
            for provider, model, key, seconds in self._keys.told(now)
        ]
        budgets = {name: budget.told(now) for name, budget in self._budgets.items()}
        return {"targets": self._breakers.told(now), "resting_keys": resting, "last_seconds": budgets}

    def failed(self, target: Target, key: Key, failure: Failed, *, probe: bool) -> None:
        """It did not."""
        provider, name, now = target.provider, target.name, self._clock()
        if policy.is_down(failure):
            self._breakers.failed(name, now, probe=probe)
            return
        self._breakers.worked(name)
        if key.value and policy.rotates(failure):
            self._numbers[provider.name, key.value] = numbered(provider, key)
            if failure.status == 429:
                self._keys.limited(provider.name, target.model, key.value, now, policy.retry_after(failure))
            else:
                self._keys.refused(provider.name, key.value, now)

    def _set_back(self, target: Target) -> bool:
        return self._breakers.open(target.name, self._clock()) or self.wait(target) > 0

    def _budget(self, provider: Provider) -> Budget:
        if not (budget := self._budgets.get(provider.name)):
            budget = self._budgets[provider.name] = Budget()
        return budget


class Lesson:
    """See `Health.learning`."""

    __slots__ = ("_health", "_key", "_probe", "_sent", "_target")

    def __init__(self, health: Health, target: Target, key: Key, sent: Callable[[], bool]) -> None:
        self._health, self._target, self._key, self._sent = health, target, key, sent
        self._probe = False

    def __enter__(self) -> None:
        self._probe = self._health.ask(self._target)

    def __exit__(self, _: object, cause: BaseException | None, __: object) -> None:
        says_something = (cause is None or isinstance(cause, ApiError)) and self._sent()
        if says_something and isinstance(cause, ApiError):
            self._health.failed(self._target, self._key, cause.failed, probe=self._probe)
        elif says_something:
            self._health.worked(self._target, self._key)
        elif self._probe:
            self._health.left(self._target)


def numbered(provider: Provider, key: Key) -> str:
    """Which of a provider's keys it is, in words that can be shown; empty if there are not several."""
    return f"key {key.number} of {len(provider.api_keys)}" if len(provider.api_keys) > 1 else ""


def _keys(provider: Provider) -> tuple[str, ...]:
    return provider.api_keys or ((provider.api_key,) if provider.api_key else ())


def waiting(failure: Failed, seconds: int) -> Failed:
    """The same failure, with another time to wait."""
    headers = dict(failure.headers) | {b"retry-after": b"%d" % seconds}
    return replace(failure, headers=tuple(headers.items()))
