"""What the container runs, runs: as a user who is not root, on a read-only root, with /data to write to.

In a container where Docker runs; else by the same commands and variables in a mount namespace of their own.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from serving import EILEEN

from oneshot import OneShotError
from oneshot.client import Client

DEPLOY = ROOT / "scripts" / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text().replace("\\\n", "")
USER = "10001"
IMAGE = "oneshot-test"


def last(instruction: str) -> str:
    """What the Dockerfile's last instruction of this name says."""
    return re.findall(rf"^{instruction} (.*)$", DOCKERFILE, re.MULTILINE)[-1].strip()


def words(instruction: str) -> list[str]:
    """An instruction in JSON's form."""
    return list(json.loads(last(instruction).partition("CMD ")[2] or last(instruction)))


ENTRYPOINT, COMMAND = words("ENTRYPOINT"), words("CMD")
HEALTH = words("HEALTHCHECK")
VARIABLES = dict(re.findall(r"^ENV (\w+)=(.*)$", DOCKERFILE, re.MULTILINE))


class Container:
    """Runs commands in containers that share one /data."""

    def __init__(self, port: int):
        self._port = port
        subprocess.run(
            ["docker", "build", "-q", "-t", IMAGE, "-f", str(DEPLOY / "Dockerfile"), str(ROOT)], check=True
        )

    def command(self, *asked: str) -> list[str]:
        """The command line that runs a command in it."""
        options = ["--rm", "--init", "--read-only", "--tmpfs", "/tmp", "-v", f"{IMAGE}-{self._port}:/data"]
        options += ["--network", "host", "-e", f"ONESHOT_SERVE_PORT={self._port}", "--entrypoint", asked[0]]
        return ["docker", "run", *options, IMAGE, *asked[1:]]


class Namespace:
    """Runs commands as the container does, on this machine's own files."""

    def __init__(self, port: int, data: Path):
        os.chown(data, int(USER), int(USER))
        self._data = data
        variables = {name: value.replace("/data", str(data)) for name, value in VARIABLES.items()}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        more = {
            "PATH": path,
            "PYTHONPATH": str(ROOT),
            "ONESHOT_SERVE_PORT": str(port),
            "OMP_NUM_THREADS": "1",
        }
        self._variables = variables | more

    def command(self, *asked: str) -> list[str]:
        """The command line that runs a command in it."""
        mounts = 'mount --bind "$0" "$0" && mount -o remount,bind,ro / && cd "$0" && exec "$@"'
        user = ["setpriv", "--reuid", USER, "--regid", USER, "--clear-groups", "--no-new-privs"]
        reading = "+dac_read_search"  # Python may lie in somebody's home
        user += ["--inh-caps", f"-all,{reading}", "--ambient-caps", reading]
        variables = [f"{name}={value}" for name, value in self._variables.items()]
        inner = [*user, "env", "-i", *variables, *asked]
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", mounts, str(self._data), *inner]


@pytest.fixture(scope="module")
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture(scope="module")
def place(port: int) -> Iterator[Container | Namespace]:
    """Where the service runs; none of its files is the user's but those in /data."""
    if shutil.which("docker") and subprocess.run(["docker", "info"], capture_output=True).returncode == 0:
        yield Container(port)
        subprocess.run(["docker", "volume", "rm", f"{IMAGE}-{port}"], check=True)
        return
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        yield Namespace(port, Path(folder))


def printed(command: Sequence[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.skipif(
    sys.platform != "linux" or (os.geteuid() != 0 and not shutil.which("docker")),
    reason="neither Docker nor the right to make a mount namespace",
)
def test_the_service_runs_unprivileged_and_changes_nothing_but_its_data(
    place: Container | Namespace, port: int, photos: dict[str, bytes]
) -> None:
    assert printed(place.command("id", "-u")) == USER == last("USER").partition(":")[0]
    assert subprocess.run(place.command("touch", "/usr/new"), capture_output=True).returncode
    key = printed(place.command(*ENTRYPOINT, "key", "office", "--role", "write"))
    command = place.command(*ENTRYPOINT, *COMMAND)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as served:
        try:
            assert served.stderr is not None
            assert served.stderr.readline().startswith(f"http://0.0.0.0:{port}")
            assert subprocess.run(place.command(*HEALTH)).returncode == 0
            with Client(f"http://127.0.0.1:{port}", key) as client:
                client.enroll("Ada", photos[EILEEN])
                assert client.verify(photos["again"], "Ada").same
            with Client(f"http://127.0.0.1:{port}") as stranger, pytest.raises(OneShotError, match="API key"):
                stranger.people()
        finally:
            served.terminate()
            served.communicate(timeout=60)
    assert subprocess.run(place.command(*HEALTH), capture_output=True).returncode


def test_compose_keeps_the_service_to_itself() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    own = services["oneshot"]
    assert own["read_only"] and own["cap_drop"] == ["ALL"] and "profiles" not in own
    assert (DEPLOY / own["build"]["context"] / own["build"]["dockerfile"]).resolve() == DEPLOY / "Dockerfile"
    assert services["milvus"]["profiles"] == ["milvus"] and services["mosquitto"]["profiles"] == ["mqtt"]
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert published and all(port.startswith("127.0.0.1:") for port in published)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "oneshot.service"
    program = Path(sys.executable).parent / "oneshot"
    unit.write_text(
        (DEPLOY / "oneshot.service").read_text().replace("/opt/oneshot/bin/oneshot", str(program))
    )
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
