"""One server before one upstream of each dialect, for the whole matrix."""

from __future__ import annotations

from contextlib import AsyncExitStack
from itertools import count
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from e2e.claude import Claude, NoCliError, find_cli
from e2e.proxy import serving

PLAYED = ("tools", "limits", "cache", "clients", "typescript")
pytest.register_assert_rewrite(*(f"{__package__}.scenarios_{name}" for name in PLAYED))

from .cells import Cells  # noqa: E402
from .dialects import ALL  # noqa: E402
from .https_page import page  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def _cli() -> Path:
    try:
        return find_cli()
    except NoCliError as missing:
        pytest.skip(str(missing))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _cells(
    request: pytest.FixtureRequest, _cli: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Cells]:
    home = tmp_path_factory.mktemp("matrix")
    numbers = count(1)

    def client() -> Claude:
        place = home / str(next(numbers))
        for name in ("home", "work"):
            (place / name).mkdir(parents=True)
        return Claude(_cli, place / "home", place / "work")

    picked = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
    async with AsyncExitStack() as stack:
        dialects = {dialect.name: dialect for dialect in ALL}
        for dialect in dialects.values():
            await stack.enter_async_context(dialect.fake)
        config = home / "config.toml"
        config.write_text("\n".join(dialect.config for dialect in dialects.values()))
        env = {name: value for dialect in dialects.values() for name, value in dialect.env.items()}
        proxy = await stack.enter_async_context(serving(home, CLAUDE_CODE_PROXY_CONFIG=str(config), **env))

        def chosen(scenario: str) -> Iterator[str]:
            return (row["dialect"] for row in picked if row.get("scenario") == scenario)

        fetched = await stack.enter_async_context(page(home))
        yield Cells(proxy.url, dialects, client, fetched, home / "ca.pem", chosen)
        proxy.log.check()


@pytest.fixture
def cells(_cells: Cells) -> Cells:
    """Give the matrix."""
    return _cells
