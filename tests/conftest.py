"""What several tests start from."""

import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest
from fake import write_model
from hypothesis import settings

from oneshot import OneShot

# FFmpeg asks once in a process, at the first video; the script asks for the same.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

# Longer: pytest tests/test_fuzz.py --hypothesis-profile long
settings.register_profile("short", max_examples=150, deadline=None, derandomize=True, database=None)
settings.register_profile("long", max_examples=20_000, deadline=None, database=None)
settings.load_profile("short")

pytest_plugins = ["browsing", "serving"]


@contextmanager
def nobody() -> Iterator[None]:
    """As a user who is not root, for whom permissions count."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def fake_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fake network's file."""
    return write_model(tmp_path_factory.mktemp("weights") / "fake.onnx")


@pytest.fixture(scope="session")
def model(fake_weights: Path) -> OneShot:
    """The fake network, loaded."""
    return OneShot(fake_weights, threads=1)


@pytest.fixture(scope="session")
def recogniser_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SqueezeFacePoseNet, untrained: what it says of a face depends on the face, and that is all."""
    torch = pytest.importorskip("torch")
    from oneshot.models.squeezefaceposenet import FORMS, SqueezeFacePoseNet
    from oneshot.models.weights import save_weights

    torch.manual_seed(2)
    net = SqueezeFacePoseNet(FORMS["dwc"])
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name.endswith("bias"):  # else the picture would be lost among them
                parameter.zero_()
    path = tmp_path_factory.mktemp("recogniser") / "ours.safetensors"
    save_weights(path, net, {"thresholds": {"1e-3": 0.9999}}, half=False)
    return path


def load_script(name: str) -> ModuleType:
    """A script of scripts/ as a module, to call its functions without starting Python anew."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def detect_verify() -> ModuleType:
    return load_script("detect_verify")
