"""A headless Chromium that does with a page what a script of tests/browser says."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parent / "browser"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")

Drive = Callable[[str, str, dict[str, Any]], dict[str, Any]]


@pytest.fixture(scope="session")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Drive:
    """Runs a script on the page at an address, with a job, and gives what it prints."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip("no Chromium is installed (Debian: apt install chromium)")
    if not (FOLDER / "node_modules" / "playwright-core").is_dir():
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        if subprocess.run(command, cwd=FOLDER, capture_output=True).returncode:
            pytest.skip("npm could not fetch playwright-core; is there a network?")

    def driven(script: str, address: str, job: dict[str, Any]) -> dict[str, Any]:
        path = tmp_path_factory.mktemp("job") / "job.json"
        path.write_text(json.dumps(job))
        command = ["node", str(FOLDER / script), browser, address, str(path)]
        done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    return driven
