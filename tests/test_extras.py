"""Packages that only some functions need are asked for before work begins."""

from pathlib import Path

import pytest

from oneshot import OneShot, OneShotError, extras
from oneshot.album.index import index

MODULES = {
    "cryptography.hazmat": "encryption",
    "pyarrow.parquet": "photos",
    "pi_heif": "formats",
}


def failing(monkeypatch: pytest.MonkeyPatch, error: ImportError) -> None:
    def fails(name: str) -> None:
        raise error

    monkeypatch.setattr(extras.importlib, "import_module", fails)


@pytest.mark.parametrize(("module", "extra"), MODULES.items())
def test_a_module_that_is_there_is_loaded(module: str, extra: str) -> None:
    assert extras.load(module, "this", extra).__name__ == module


def test_what_is_missing_and_what_is_broken_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, ModuleNotFoundError("No module named 'pyarrow'", name="pyarrow"))
    with pytest.raises(OneShotError, match=r"^this needs pyarrow; pip install 'oneshot-face\[photos\]'$"):
        extras.load("pyarrow.parquet", "this", "photos")
    for broken in (
        ImportError("numpy.core.multiarray failed to import\n(two lines)"),
        ModuleNotFoundError("No module named 'six'", name="six"),
    ):
        failing(monkeypatch, broken)
        with pytest.raises(
            OneShotError, match=r"^this needs pyarrow, which does not load \([^\n]+--upgrade$"
        ):
            extras.load("pyarrow.parquet", "this", "photos")


def test_an_index_wants_its_package_before_the_first_photo(
    tmp_path: Path, model: OneShot, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.png").write_bytes(b"never looked at")
    failing(monkeypatch, ModuleNotFoundError("No module named 'pyarrow'", name="pyarrow"))
    looked: list[int] = []
    with pytest.raises(OneShotError, match="indexing photos needs pyarrow"):
        index(tmp_path, tmp_path / "faces.parquet", model, lambda: looked.append(1))
    assert not looked and [path.name for path in tmp_path.iterdir()] == ["a.png"]
