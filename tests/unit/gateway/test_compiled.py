"""The compiled form of the gateway's hot modules: used when it was made of these sources, and only then."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.control_plane import TOKEN
from tests.support.gateway_process import GatewayProcess

from aicp.gateway import COMPILED, compiled, exchange


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a compiled form of the present sources would be."""
    monkeypatch.setattr(compiled, "home", lambda: tmp_path)
    monkeypatch.setattr(compiled.sys, "path", [])
    return tmp_path / compiled.fingerprint()


def test_a_whole_compiled_form_of_these_sources_goes_first(made: Path) -> None:
    made.mkdir()
    path = ["sources"]
    assert not compiled.use(path), "it is not complete"
    (made / "complete").touch()
    assert compiled.use(path)
    assert path == [str(made / "aicp" / "gateway"), "sources"]
    assert compiled.sys.path == [str(made)]


def test_one_of_other_sources_is_left_aside(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made.mkdir()
    (made / "complete").touch()
    monkeypatch.setattr(compiled, "fingerprint", lambda: "of changed sources")
    path = ["sources"]
    assert not compiled.use(path)
    assert path == ["sources"]


def test_every_module_that_is_named_is_there() -> None:
    folder = Path(compiled.__file__).parent
    assert [name for name in compiled.MODULES if not (folder / f"{name}.py").exists()] == []
    assert list(compiled.MODULES) == sorted(compiled.MODULES)


async def test_the_gateway_runs_compiled(gateway: GatewayProcess) -> None:
    if not COMPILED:
        pytest.skip("not run: the gateway is not compiled (make compiled)")
    assert not (exchange.__file__ or "").endswith(".py")
    answer = await gateway.ask("/metrics", method="GET", key=TOKEN)
    assert b"\naicp_gateway_compiled 1\n" in answer.body
