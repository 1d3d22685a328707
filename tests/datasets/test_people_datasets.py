"""The seed's three sets in their real layouts, with tiny photos, and the file that their converters write."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from conftest import ROOT

from oneshot.errors import OneShotError
from oneshot.evaluation.people import Photo, read_index, write_index


def converter(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "datasets" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def photo(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.zeros((4, 6, 3), np.uint8))


def test_georgia_tech_with_its_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module, folder, labels = converter("georgia_tech"), tmp_path / "gt_db", tmp_path / "labels"
    for person, number in ((1, 1), (1, 15), (2, 1), (50, 15)):
        photo(folder / f"s{person:02d}" / f"{number:02d}.jpg")
    photo(folder / "thumbs" / "01.jpg")  # not a person
    labels.mkdir()
    for index, person in ((1, 1), (15, 1), (16, 2), (750, 50)):
        (labels / f"lab{index:03d}.txt").write_text(f"{index} 10 200 220 {person}\n")
    out = tmp_path / "gt.json"
    assert module.main([str(folder), str(out), "--labels", str(labels)]) == 0
    assert "4 photos of 3 people" in capsys.readouterr().out
    root, photos = read_index(out)
    assert root == folder.resolve() and (root / photos[0].file).is_file()
    assert [p.person for p in photos] == ["s01", "s01", "s02", "s50"]
    assert [p.box[0] for p in photos if p.box] == [1, 15, 16, 750]
    assert module.main([str(folder), str(out)]) == 0
    assert {p.box for p in read_index(out)[1]} == {None}
    (labels / "lab016.txt").write_text("1 2 3 4 7")
    assert module.main([str(folder), str(out), "--labels", str(labels)]) == 2
    assert "labels person 7, not 2" in capsys.readouterr().err
    (labels / "lab016.txt").write_text("nothing")
    assert module.main([str(folder), str(out), "--labels", str(labels)]) == 2
    assert "lab016.txt: not a label" in capsys.readouterr().err


def test_fei_by_the_numbers_in_its_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module, folder = converter("fei"), tmp_path / "fei"
    for name in ("1-01", "1-02", "10-01", "2-14"):
        photo(folder / f"{name}.jpg")
    photo(folder / "originalimages_part4" / "200-14.jpg")
    photo(folder / "montage.jpg")
    out = tmp_path / "fei.json"
    assert module.main([str(folder), str(out)]) == 0
    root, photos = read_index(out)
    assert [(p.person, p.box) for p in photos] == [(who, None) for who in ("1", "1", "2", "10", "200")]
    assert all((root / p.file).is_file() for p in photos)
    assert module.main([str(tmp_path / "none"), str(out)]) == 2
    assert "no such folder" in capsys.readouterr().err


def test_caltech_faces_sorted_by_person(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    io = pytest.importorskip("scipy.io")
    module, folder, out = converter("caltech_faces"), tmp_path / "caltech_faces", tmp_path / "caltech.json"
    photo(folder / "image_0003.jpg")
    assert module.main([str(folder), str(out)]) == 2
    assert "sort the photos by person" in capsys.readouterr().err
    photo(folder / "markus" / "image_0001.jpg")
    photo(folder / "pietro" / "image_0002.jpg")
    # Bottom left, top left, top right, bottom right; y grows downwards.
    columns = [[10 * i, 90, 10 * i, 20, 70, 20, 70, 90] for i in (1, 2, 3)]
    io.savemat(folder / "ImageData.mat", {"SubDir_Data": np.array(columns, float).T})
    assert module.main([str(folder), str(out)]) == 0
    _, photos = read_index(out)
    assert [(p.person, p.box) for p in photos] == [("markus", (10, 20, 70, 90)), ("pietro", (20, 20, 70, 90))]
    (folder / "ImageData.mat").write_bytes(b"MATLAB 5.0")
    assert module.main([str(folder), str(out)]) == 2
    assert "ImageData.mat: not Caltech" in capsys.readouterr().err


def test_the_file_is_read_as_it_was_written_and_others_are_refused(tmp_path: Path) -> None:
    photos = [Photo("a/1.jpg", "a", (1, 2, 3, 4)), Photo("b.jpg", "b")]
    write_index(tmp_path / "x.json", tmp_path, photos)
    assert read_index(tmp_path / "x.json") == (tmp_path.resolve(), photos)
    with pytest.raises(OneShotError, match="no photos"):
        write_index(tmp_path / "y.json", tmp_path, [])
    for text in ("{", "[]", json.dumps({"root": "x", "photos": [{"file": "a"}]})):
        (tmp_path / "x.json").write_text(text)
        with pytest.raises(OneShotError, match="not a set of photos"):
            read_index(tmp_path / "x.json")
