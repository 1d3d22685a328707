"""What would be published installs into an empty environment, and needs neither torch nor the checkout."""

import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT

Run = Callable[..., str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds the wheel and the sdist in dist/, an empty environment in env/, and a photo."""
    import cv2
    from skimage import data

    folder = tmp_path_factory.mktemp("package")
    # By way of the sdist: the wheel is built from what is in it. The backend is here, so nothing is fetched.
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder / "dist"), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    venv.create(folder / "env", with_pip=True)
    assert cv2.imwrite(str(folder / "photo.png"), data.astronaut()[..., ::-1])
    return folder


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    """Runs a program of the environment in the folder, and gives what it prints."""
    programs = folder / "env" / ("Scripts" if os.name == "nt" else "bin")
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "ONESHOT"))}

    def run(name: str, *arguments: str) -> str:
        program = shutil.which(name, path=str(programs))
        assert program is not None, f"{name} was not installed"
        done = subprocess.run([program, *arguments], cwd=folder, env=clean, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.mark.parametrize("kind", ["*.whl", "*.tar.gz"])
def test_what_is_built_installs_and_names_a_face(folder: Path, run: Run, kind: str) -> None:
    (built,) = (folder / "dist").glob(kind)
    run("python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(built))
    gallery = f"{built.suffix[1:]}.db"
    run("oneshot", "enroll", "Eileen", "photo.png", "--gallery", gallery)
    assert "Eileen" in run("oneshot", "identify", "photo.png", "--gallery", gallery)
    where = run(
        "python", "-c", "import importlib.util as i, oneshot; print(oneshot.__file__, i.find_spec('torch'))"
    )
    assert str(folder / "env") in where and where.split()[-1] == "None"
    run("python", "-m", "pip", "uninstall", "--yes", "oneshot-face")


def test_the_workflow_runs_what_contributors_run() -> None:
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert "- run: .ci/run\n" in workflow
