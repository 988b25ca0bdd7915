"""What every translated reply must stand: being cut, damaged, or no reply at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls import JSON, replied
from claude_code_proxy.wire.watch import Watch
from grammar import read
from machines import cut, cuts

if TYPE_CHECKING:
    from collections.abc import Callable

    from claude_code_proxy.dialects.base import Dialect


def assert_cut_is_told(dialect: Dialect, recorded: bytes, finished: int) -> None:
    """A stream that is cut anywhere ends well only if it had said so, which it has not before `finished`."""
    for at in range(len(recorded)):
        watch = Watch()
        told = read(replied(dialect, [recorded[:at]], watch=watch))
        assert bool(watch.stop) is told.ended
        assert bool(watch.failed) is not told.ended
        assert bool(told.error) is (watch.started and not told.ended)
        if at < finished:
            assert not told.ended


def assert_tail_may_lack(dialect: Dialect, recorded: bytes, finished: int) -> None:
    """A reply that said why it ends is whole however its tail is cut."""
    after = recorded.index(b"data:", finished)
    for at in range(after, len(recorded)):
        assert read(replied(dialect, [recorded[:at]])).ended, recorded[after:at]


def of_any_bytes(dialect: Dialect) -> Callable[[], None]:
    """A test: any bytes make a stream or a failure."""

    @pytest.mark.fault("F-02", "U-11")
    @given(st.binary(max_size=300), st.booleans(), st.sampled_from(["text/event-stream", JSON, "text/html", ""]))
    def test(junk: bytes, stream: bool, media_type: str) -> None:  # noqa: FBT001
        watch = Watch()
        out = replied(dialect, [junk], stream=stream, media_type=media_type, watch=watch)
        assert watch.over
        if stream:
            read(out, unfinished=True)

    made: Any = test
    return made  # type: ignore[no-any-return]


def of_damage(dialect: Dialect, recorded: bytes) -> Callable[[], None]:
    """A test: a stream of which a part is gone or another makes a stream or a failure."""

    @pytest.mark.fault("F-02", "U-13")
    @given(st.integers(0, len(recorded)), st.integers(0, 40), st.binary(max_size=20), cuts(3000))
    def test(at: int, gone: int, junk: bytes, where: list[int]) -> None:
        watch = Watch()
        read(replied(dialect, cut(recorded[:at] + junk + recorded[at + gone :], where), watch=watch), unfinished=True)
        assert watch.over

    made: Any = test
    return made  # type: ignore[no-any-return]
