"""Models and galleries as arguments of other processes."""

import copy
import multiprocessing
import os
import pickle
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from fake import EMBEDDINGS, photo

from oneshot import Gallery, OneShot, OneShotError, TwoStage
from oneshot.gallery.gallery import Gallery as Kept

SECRET = b"a secret of enough letters"


def names(model: OneShot, gallery: Gallery, seed: int) -> list[str | None]:
    """Who is in a photo of Gus, in another process."""
    return [match.name for match in gallery.identify(model(photo("Gus", seed=seed)).embeddings)]


@pytest.mark.parametrize("how", ["fork", "spawn"])
def test_a_pool_takes_a_model_and_galleries_as_arguments(
    how: str, model: OneShot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how not in multiprocessing.get_all_start_methods():
        how = "spawn"
    # A new process looks for this module where this one did.
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join((str(Path(__file__).parent), str(Path(__file__).parents[1])))
    )
    monkeypatch.chdir(tmp_path)
    with Gallery(model, "g.db") as kept, Gallery(model) as held:
        for gallery in (kept, held):
            gallery.enroll("Gus", [photo("Gus")])
        with multiprocessing.get_context(how).Pool(1) as pool:
            calls = [(model, kept, 1), (model, held, 2)]
            assert pool.starmap_async(names, calls).get(120) == [["Gus"], ["Gus"]]


def test_every_setting_comes_along_and_the_file_wherever_it_is_opened(
    fake_weights: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(fake_weights.parent)
    model = OneShot(fake_weights.name, side=96, min_side=64, score_threshold=0.92, max_faces=3, threads=1)
    data = pickle.dumps(model)
    monkeypatch.chdir(tmp_path)
    for again in (pickle.loads(data), copy.deepcopy(model), copy.copy(model)):
        assert again.settings == model.settings and again.info == model.info
        assert (again.side, again.min_side, again.score_threshold, again.max_faces) == (96, 64, 0.92, 3)
        assert again.weights == fake_weights.absolute()
    with pytest.raises(OneShotError, match="no such weights file"):
        pickle.loads(data.replace(fake_weights.name.encode(), b"gone.onnx"))


def test_shipped_weights_are_named_not_found_by_their_place() -> None:
    for given in (None, "oneshot-int8"):
        model = OneShot(given, threads=1)
        assert pickle.loads(pickle.dumps(model)).weights == model.weights == given


def test_an_encrypted_gallery_is_pickled_without_its_key(
    model: OneShot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cryptography")
    monkeypatch.delenv("ONESHOT_KEY", raising=False)
    with Gallery(model, tmp_path / "g.db", key=SECRET) as gallery:
        gallery.enroll("Gus", [photo("Gus")])
        data = pickle.dumps(gallery)
    assert SECRET not in data
    with pytest.raises(OneShotError, match="is encrypted; give its key by --key-file or ONESHOT_KEY"):
        pickle.loads(data)
    monkeypatch.setenv("ONESHOT_KEY", SECRET.decode())
    with pickle.loads(data) as again:
        assert isinstance(again, Kept) and again.identify(EMBEDDINGS[1:2])[0].name == "Gus"


def test_two_stages_are_pickled_with_their_detector(recogniser_weights: Path) -> None:
    detect = partial(np.copy)
    model = TwoStage(recogniser_weights, detector=detect, crop="box", side=320, threads=1)  # type: ignore[arg-type]
    again = pickle.loads(pickle.dumps(model))
    assert again.info == model.info and again.crop == "box" and again.max_faces == 200
    assert again.settings | {"detector": 0} == model.settings | {"detector": 0}
    assert isinstance(again.detect, partial) and again.detect.func is np.copy
