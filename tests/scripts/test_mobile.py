"""ONNX Runtime's own format gives the same numbers, and the snippets for phones name what the graph names."""

import re
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, load_script
from fake import picture, write_model

from oneshot import OneShot, OneShotError
from oneshot.inference.onnx import OUTPUTS, OnnxBackend

export_mobile = load_script("export_mobile")


@pytest.fixture(scope="module")
def written(fake_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return export_mobile.export_mobile(fake_weights, tmp_path_factory.mktemp("mobile") / "new")


def test_the_converted_network_is_the_same_one(written: list[Path], model: OneShot) -> None:
    converted = OneShot(written[0], threads=1)
    image = picture(Rhea=(20, 30, 90, 100), Gus=(150, 40, 230, 120))
    got, expected = converted(image), model(image)
    assert written[0].suffix == ".ort" and converted.info == model.info
    assert len(got) == len(expected) == 2
    np.testing.assert_array_equal(got.boxes, expected.boxes)
    np.testing.assert_array_equal(got.embeddings, expected.embeddings)
    assert len(converted(picture())) == 0
    found = converted(image, embed=False)
    np.testing.assert_array_equal(found.boxes, expected.boxes)
    assert found.embeddings.shape == (2, 0)


def test_the_operators_are_listed(written: list[Path]) -> None:
    listed = written[1].read_text()
    assert written[1].suffix == ".config"
    assert "ReduceMax" in listed and "Compress" in listed and "Conv" not in listed


def test_a_difference_is_found(fake_weights: Path, tmp_path: Path) -> None:
    image = np.zeros((1, 64, 64, 3), np.uint8)
    image[0, 10:50, 10:50] = (220, 40, 40)
    out = OnnxBackend(fake_weights).run(image, 0.5, 0.4, 9)
    boxes, scores, _, embeddings, images = out
    assert export_mobile.difference(out, out) is None
    assert "boxes" in export_mobile.difference(out, (boxes + 1, *out[1:]))
    assert "cosine" in export_mobile.difference(out, (*out[:3], embeddings[:, ::-1], images))
    assert "scores (0,)" in export_mobile.difference(out, (boxes, scores[:0], *out[2:]))
    assert "images" in export_mobile.difference(out, (*out[:4], images + 1))
    with pytest.raises(OneShotError, match="lost the facts"):
        export_mobile.check_same(fake_weights, write_model(tmp_path / "other.onnx", name="other"))


def test_a_foreign_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"nothing")
    with pytest.raises(OneShotError, match=r"bad\.onnx: ONNX Runtime cannot load it"):
        export_mobile.export_mobile(tmp_path / "bad.onnx", tmp_path)


@pytest.mark.parametrize("language", ["kotlin", "swift"])
def test_the_snippets_name_what_the_graph_names(language: str) -> None:
    """Nothing here compiles them; a name that is wrong would only be found on the phone."""
    document = (ROOT / "docs" / "mobile.md").read_text()
    (snippet,) = re.findall(rf"```{language}\n(.*?)```", document, re.DOTALL)
    assert snippet.count("\n") < 60
    names = set(re.findall(r'"([a-z_]+)"', snippet))
    assert set(OUTPUTS) | {"image"} <= names
    assert names <= {"image", *OUTPUTS, "oneshot", "thresholds"}  # the latter two name the file's facts
