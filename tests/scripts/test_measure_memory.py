"""The measurement of memory over hours: it follows the demo's people, and sees a leak."""

import itertools
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from conftest import ROOT, load_script
from fake import picture

from oneshot import Faces, Gallery, OneShot, OneShotError
from oneshot.types import Frame, Image

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

SECONDS = 12


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))  # as when it is run, for the script that it imports
    module = load_script("measure_memory")
    monkeypatch.setattr(module, "FPS", 5)
    return module


@pytest.fixture
def gallery(model: OneShot) -> Gallery:
    gallery = Gallery(model)
    gallery.enroll("Rhea", [picture(Rhea=(60, 60, 160, 160))])
    return gallery


class Leaking:
    """A model that keeps megabytes a picture."""

    def __init__(self, model: OneShot):
        self.model, self.side, self.info, self.thresholds = model, model.side, model.info, model.thresholds
        self.kept: list[np.ndarray] = []

    def side_for(self, image: np.ndarray) -> int:
        return self.side

    def __call__(self, image: Image, *, embed: bool = True) -> Faces:
        self.kept.append(np.ones(1 << 20))
        return self.model(image, embed=embed)


def stream(count: int) -> list[Frame]:
    image = picture(Rhea=(60, 60, 120, 120))
    return [Frame(i, i / 5, image) for i in range(count)]


def test_a_leak_is_seen(script: ModuleType, model: OneShot, gallery: Gallery) -> None:
    samples = script.measure(stream(5 * SECONDS), model, gallery)
    assert [(s.seconds, s.tracks) for s in samples] == [(i, 1) for i in range(1, SECONDS + 1)]
    assert script.grown(samples) < 15
    leaked = script.measure(stream(5 * SECONDS), Leaking(model), gallery)
    # Some 430 MB are kept, less what of them fits where other tests have freed memory.
    assert script.grown(leaked) > 150
    with pytest.raises(OneShotError, match="too few to tell"):
        script.grown(samples[:9])


def test_the_exit_code_tells(
    script: ModuleType,
    fake_weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(script, "demo_stream", lambda: iter(stream(1000)))
    monkeypatch.setattr(script, "photos", lambda: {script.KNOWN: picture(Rhea=(60, 60, 160, 160))})
    arguments = ["--weights", str(fake_weights), "--minutes", "0.25", "--threads", "1"]
    for growth, code in ((20.0, 1), (10.0, 0)):
        resident = itertools.chain((100.0,), itertools.repeat(100.0 + growth))
        monkeypatch.setattr(script, "resident", lambda resident=resident: next(resident))
        assert script.main([*arguments, "--json", str(tmp_path / "m.json")]) == code
        assert f"grew by {growth:.1f} MB, of 15" in capsys.readouterr().out
        assert len(json.loads((tmp_path / "m.json").read_text())["samples"]) == 15


def test_the_demos_people_come_and_go(script: ModuleType) -> None:
    frames = list(itertools.islice(script.demo_stream(), 80))
    assert [f.seconds for f in frames[:3]] == [0, 0.2, 0.4] and frames[0].image.shape == (360, 640, 3)
    assert frames[0].image is not frames[36].image
    rounds = round(4.6 * 5) + round(2.5 * 5)
    np.testing.assert_array_equal(frames[rounds].image, frames[0].image)
    np.testing.assert_array_equal(frames[rounds - 1].image, frames[rounds - 2].image)
