"""As many threads as the process may use CPUs: by affinity, and by the quota of its control groups."""

from pathlib import Path

import pytest

from oneshot.inference import threads
from oneshot.inference.threads import chosen_threads


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of eight CPUs without limits; its control groups are below this folder."""
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(threads, "CONTROL_GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(threads, "OWN_GROUPS", tmp_path / "own")
    return tmp_path


def put(groups: Path, own: str, **files: str) -> None:
    (groups / "own").write_text(own)
    for name, text in files.items():
        path = groups / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_without_limits_the_runtime_chooses(groups: Path) -> None:
    assert chosen_threads(None) == 0
    put(groups, "0::/\n", **{"cpu.max": "max 100000\n"})
    assert chosen_threads(None) == 0
    assert chosen_threads(5) == 5


def test_affinity_limits(groups: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {2, 6}, raising=False)
    assert chosen_threads(None) == 2
    monkeypatch.delattr("os.sched_getaffinity")  # macOS, Windows
    assert chosen_threads(None) == 0


@pytest.mark.parametrize(
    ("quota", "expected"), [(50_000, 1), (100_000, 1), (250_000, 2), (400_000, 4), (900_000, 0)]
)
def test_a_quota_limits(groups: Path, quota: int, expected: int) -> None:
    put(groups, "0::/\n", **{"cpu.max": f"{quota} 100000\n"})
    assert chosen_threads(None) == expected


def test_the_tightest_group_around_counts(groups: Path) -> None:
    put(
        groups,
        "0::/machine/pod/job\n",
        **{"machine/pod/job/cpu.max": "max 100000\n", "machine/pod/cpu.max": "300000 100000\n"},
    )
    assert chosen_threads(None) == 3


@pytest.mark.parametrize("place", ["docker/1a", "."])
def test_version_1_groups_limit(groups: Path, place: str) -> None:
    put(
        groups,
        "5:memory:/docker/1a\n4:cpu,cpuacct:/docker/1a\n1:name=systemd:/docker/1a\n",
        **{
            f"cpu,cpuacct/{place}/cpu.cfs_quota_us": "200000\n",
            f"cpu,cpuacct/{place}/cpu.cfs_period_us": "100000\n",
            f"memory/{place}/cpu.cfs_quota_us": "100000\n",
        },
    )
    assert chosen_threads(None) == 2
    put(groups, "4:cpu,cpuacct:/\n", **{"cpu,cpuacct/cpu.cfs_quota_us": "-1\n"})
    assert chosen_threads(None) == 0
