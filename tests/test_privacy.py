"""Looking at a picture leaves nothing behind and tells nobody: ONNX Runtime would, if it were not stopped."""

import os
import subprocess
import sys
from pathlib import Path

from conftest import ROOT

LOOK = """
import numpy
from oneshot import OneShot
OneShot(sys.argv[1], threads=1)(numpy.zeros((64, 64, 3), numpy.uint8))
"""


def test_no_id_of_the_machine_is_kept_for_anybody(tmp_path: Path, fake_weights: Path) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "ORT_"))}
    environment = clean | {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", f"import sys{LOOK}", str(fake_weights)]
    subprocess.run(command, env=environment, check=True)
    assert list(tmp_path.rglob("*")) == []
