"""The benchmark of the exact search runs and agrees with faiss; its figures are not judged here."""

import pytest
from conftest import load_script


def test_it_measures_both() -> None:
    pytest.importorskip("faiss")
    result = load_script("compare_search").compare(50, 2, [1, 3])
    assert result["templates"] == 50
    for faces in ("1 face", "3 faces"):
        assert set(result[faces]) == {"gallery", "faiss IndexFlatIP"}
        assert all(value >= 0 for times in result[faces].values() for value in times.values())
