"""Any configuration is read, or told what is wrong with it."""

from __future__ import annotations

import contextlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_code_proxy.settings import CONFIG_FILE, VARIABLES, Settings, SettingsError, load_settings

WORDS = st.one_of(
    st.text(max_size=30),
    st.sampled_from(["0", "-1", "1e999", "nan", "\ufeff1", "'1'", "1\r", "${HOME}", "#", "http://", "http://[", "::"]),
)
KEYS = st.sampled_from([*VARIABLES, "OPENAI_API_KEY", "OPENAI_BASE_URL", "OLLAMA_API_BASE", "GEMINI_API_BASE"])
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
)
FIELDS = st.sampled_from(
    ["dialect", "base_url", "api_key", "api_key_env", "auth", "quirks", "headers", "body", "model_body", "aliases"]
)


def read(**how: Any) -> None:
    """Whatever else is raised fails the test."""
    with contextlib.suppress(SettingsError):
        assert isinstance(load_settings(**how), Settings)


@pytest.mark.fault("F-08", "R-18")
@given(st.dictionaries(KEYS, WORDS, max_size=4))
def test_any_variables(environ: dict[str, str]) -> None:
    read(environ=environ)


@pytest.mark.fault("F-08", "R-18")
@given(st.dictionaries(FIELDS, VALUES, max_size=3), st.sampled_from(["openai", "mine", "ollama", "", "A b"]))
def test_any_provider(table: dict[str, Any], name: str) -> None:
    read(environ={}, providers={name: table})


@pytest.mark.fault("F-08", "R-18")
@given(
    st.binary(max_size=60)
    | st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace"))
    | st.sampled_from(
        [
            b"[routing]\nx = 1",
            b"[models]\nx = {}",
            b"[prices]\nx = {}",
            b"[providers]\nx = 1",
            b"[providers.x]\n",
            b"\xef\xbb\xbf",
        ]
    )
)
def test_any_file(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "config.toml"
        path.write_bytes(content)
        read(environ={CONFIG_FILE: str(path)})
