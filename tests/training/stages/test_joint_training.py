"""Stages 2 and 3 on a handful of drawn scenes: what learns, what stays, and an exact resume with scenes."""

import io
import json
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tiny_training import QUIET, changed, folders, tiny

from oneshot.models.network import OneShotNet
from oneshot.models.weights import save_weights
from oneshot.training import loop
from oneshot.training.config import TrainConfig
from oneshot.training.stages.detection import DetectionStage
from oneshot.training.stages.joint import JointStage
from oneshot.training.start import start_network

__all__ = ["folders"]  # a fixture, used by its name


@pytest.fixture(scope="module")
def scenes(folders: tuple[Path, Path]) -> tuple[Path, Path]:
    """The crops' folder with 24 photos of one drawn face each, and one photo without."""
    rng = np.random.default_rng(1)
    inner = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])
    coco: dict[str, list[dict[str, object]]] = {"images": [], "annotations": []}
    with tarfile.open(folders[0] / "scenes_train.tar", "w") as tar:
        for i in range(24):
            picture = rng.integers(60, 120, (120, 160, 3)).astype(np.uint8)
            corner, side = rng.integers(5, 50, 2), int(rng.integers(40, 65))
            points = (corner + inner * side).astype(int)
            cv2.ellipse(
                picture, (*(corner + side // 2).tolist(),), (side // 2, side // 2), 0, 0, 360, 220, -1
            )
            for point in points:
                cv2.circle(picture, point.tolist(), side // 10, (20, 20, 200), -1)
            _add(tar, f"{i}.png", picture)
            coco["images"].append({"id": i, "file_name": f"{i}.png", "width": 160, "height": 120})
            keypoints = np.column_stack((points, np.full(5, 2))).ravel().tolist()
            box = [*corner.tolist(), side, side]
            coco["annotations"].append({"image_id": i, "bbox": box, "keypoints": keypoints, "iscrowd": 0})
    (folders[0] / "scenes_train.json").write_text(json.dumps(coco))
    with tarfile.open(folders[0] / "negatives.tar", "w") as tar:
        _add(tar, "n.png", rng.integers(0, 256, (100, 100, 3)).astype(np.uint8))
    return folders


def _add(tar: tarfile.TarFile, name: str, picture: np.ndarray) -> None:
    encoded = cv2.imencode(".png", picture)[1].tobytes()
    member = tarfile.TarInfo(name)
    member.size = len(encoded)
    tar.addfile(member, io.BytesIO(encoded))


def with_scenes(scenes: tuple[Path, Path], **changes: object) -> TrainConfig:
    config = tiny(scenes, scenes=2, sides=(96, 128), evaluate_every=1000)
    return changed(config, **changes)


def fresh(config: TrainConfig) -> OneShotNet:
    torch.manual_seed(0)
    return start_network(config.network, Path(config.models), None)


@torch.no_grad()
def mean_losses(stage: DetectionStage, net: OneShotNet, steps: int = 8) -> dict[str, float]:
    """Of several steps: faces of two scenes alone may lie any way, small or large."""
    found = [stage.losses(net.train(), step) for step in range(steps)]
    return {name: sum(float(losses[name]) for losses in found) / steps for name in found[0]}


def test_detection_learns_while_the_trunk_stays(scenes: tuple[Path, Path], tmp_path: Path) -> None:
    config = with_scenes(scenes, stage="detection", steps=80, lr=0.0, lr_deep=0.0, lr_head=1e-2, warmup=5)
    stage, net = DetectionStage(config), fresh(config)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    first = mean_losses(stage, net)
    loop.train(config, stage, net, tmp_path, False, QUIET)
    # Stride 4 is sampled for landmarks alone, so that what places them may learn.
    learning = ("head.", "thin4.", "refinement.", *(f"backbone.fire{n}" for n in range(4, 10)))
    for name, value in net.state_dict().items():
        if not name.startswith(learning):
            assert torch.equal(value, before[name]), name
    last = mean_losses(stage, net)
    for name in ("detection_box", "detection_iou", "detection_landmarks"):
        assert last[name] < 0.95 * first[name], (first, last)
    assert set(stage.evaluate(net.eval())) == {
        "ap50",
        "best_f1",
        "best_f1_threshold",
        "coarse_landmark_error",
        "landmark_error",
        "undecided",
        "misread",
    }


def test_a_head_that_is_imitated_adds_its_losses(scenes: tuple[Path, Path], tmp_path: Path) -> None:
    """None where the two are the same network, some where they are not; the true boxes' are as they were."""
    config = with_scenes(scenes, stage="detection", lr=0.0, lr_deep=0.0)
    net, other = fresh(config).eval(), fresh(config).eval()
    with torch.no_grad():
        for each in (net, other):
            for out in each.head.out:
                out.weight.normal_(std=5.0)  # type: ignore[union-attr,operator]
                out.bias[4] = 0.0  # type: ignore[index,operator]
        for name, taught in (("same", net), ("other", other)):
            save_weights(tmp_path / f"{name}.safetensors", taught, {}, half=False)
        plain = DetectionStage(config).losses(net, 0)
        for name in ("same", "other"):
            path = str(tmp_path / f"{name}.safetensors")
            losses = DetectionStage(changed(config, teacher=path)).losses(net, 0)
            assert {k: v for k, v in losses.items() if k in plain} == plain
            added = {k: float(v) for k, v in losses.items() if k not in plain}
            assert set(added) == {f"imitation_{part}" for part in ("confidence", "box", "landmarks")}
            assert all(abs(v) < 1e-6 if name == "same" else v > 1e-4 for v in added.values()), added


def test_both_together_resume_exactly(
    scenes: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = with_scenes(scenes, stage="joint", steps=4, checkpoint_minutes=0.0)
    names: set[str] = set()
    joint_losses = JointStage.losses

    class StopError(Exception):
        pass

    def noting(self: JointStage, net: OneShotNet, step: int) -> dict[str, torch.Tensor]:
        losses = joint_losses(self, net, step)
        names.update(losses)
        return losses

    def stopping(self: JointStage, net: OneShotNet, step: int) -> dict[str, torch.Tensor]:
        if step == 2:
            raise StopError
        return joint_losses(self, net, step)

    with monkeypatch.context() as patch:
        patch.setattr(JointStage, "losses", noting)
        whole = fresh(config)
        loop.train(config, JointStage(config), whole, tmp_path / "whole", False, QUIET)
    assert {"hint", "cosine", "landmarks", "detection_box", "detection_confidence"} <= names
    assert {"scene_hint", "scene_cosine", "scene_landmarks"} <= names
    with monkeypatch.context() as patch, pytest.raises(StopError):
        patch.setattr(JointStage, "losses", stopping)
        loop.train(config, JointStage(config), fresh(config), tmp_path / "cut", False, QUIET)
    resumed = fresh(config)
    loop.train(config, JointStage(config), resumed, tmp_path / "cut", True, QUIET)
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value, atol=0, rtol=0, msg=name)
