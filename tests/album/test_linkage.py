"""Grouping by person: against SciPy's linkage of all pairs, with what somebody said, and at scale."""

import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT

from oneshot.album import neighbours
from oneshot.album.linkage import group, scores

pytest.importorskip("faiss")
hierarchy = pytest.importorskip("scipy.cluster.hierarchy")


def crowd(sizes: list[int], spread: float = 0.35, size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    whose = np.repeat(np.arange(len(sizes)), sizes)
    rows = rng.normal(size=(len(sizes), size))[whose] + spread * rng.normal(size=(len(whose), size))
    order = rng.permutation(len(whose))
    rows = rows[order].astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True), whose[order]


def partition(groups: np.ndarray) -> set[frozenset[int]]:
    """Groups as sets of rows; a face alone is one."""
    alone = {frozenset([int(i)]) for i in np.flatnonzero(groups < 0)}
    return alone | {frozenset(np.flatnonzero(groups == g).tolist()) for g in np.unique(groups[groups >= 0])}


def test_groups_are_people_by_falling_size_and_loners_are_alone() -> None:
    rows, whose = crowd([3, 9, 1, 5, 1])
    groups = group(rows, 0.5)
    assert {int(w): set(groups[whose == w].tolist()) for w in range(5)} == {
        0: {2},
        1: {0},
        2: {-1},
        3: {1},
        4: {-1},
    }
    assert (group(rows, -1.0) == 0).all()  # everybody is like everybody
    assert (group(rows, 0.9999) == -1).all()


@pytest.mark.parametrize(("count", "groups"), [(0, []), (1, [-1]), (6, [0] * 6)])
def test_nobody_one_face_and_one_person(count: int, groups: list[int]) -> None:
    rows, _ = crowd([6])
    assert group(rows[:count], 0.5).tolist() == groups


@pytest.mark.parametrize("threshold", [0.1, 0.25, 0.4])
def test_it_is_average_linkage_of_all_pairs(threshold: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "NEIGHBOURS", 400)
    rows, _ = crowd([40, 30, 1, 7, 7, 7, 2, 1] * 4, spread=1.3, size=24)
    distances = (1 - (rows @ rows.T)[np.triu_indices(len(rows), 1)]).clip(0).astype(np.float64)
    slow = hierarchy.fcluster(hierarchy.linkage(distances, "average"), 1 - threshold, "distance")
    found = partition(group(rows, threshold))
    assert found == partition(slow) and 1 < len(found) < len(rows)


def test_few_neighbours_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "NEIGHBOURS", 8)
    rows, whose = crowd([60, 40, 5, 1])
    assert partition(group(rows, 0.4)) == partition(whose)


def test_a_face_that_could_not_be_described_is_alone() -> None:
    rows, whose = crowd([4, 3])
    rows[whose == 1] = 0
    rows[0] = np.nan
    groups = group(rows, -1.0)
    assert set(groups[(whose == 1)].tolist()) == {-1} and groups[0] == -1
    assert (groups >= 0).sum() == ((whose == 0) & (np.arange(7) != 0)).sum()


def test_two_faces_of_one_photo_are_two_people() -> None:
    rows, _ = crowd([6])
    groups = group(rows, 0.5, photos=["a", "a", "b", "c", "d", "e"])
    assert groups[0] != groups[1] and (groups[2:] == 0).sum() == 4
    groups = group(rows, -1.0, photos=["a", "a", "a", "b", "b", "b"])
    assert len(set(groups[:3].tolist())) == len(set(groups[3:].tolist())) == 3


def test_what_somebody_said_holds() -> None:
    rows, whose = crowd([6, 4, 1, 1])
    a, b = np.flatnonzero(whose == 0), np.flatnonzero(whose == 1)
    (c,), (d,) = np.flatnonzero(whose == 2), np.flatnonzero(whose == 3)
    # Two of one person have two names; two people have one; somebody alone has a name; one is not Ada.
    names = {int(a[0]): "Ada", int(a[1]): "Eve", int(c): "Bo", int(d): "Di"} | {int(i): "Bo" for i in b[:3]}
    groups = group(rows, 0.5, names=names, barred={int(a[2]): {"Ada", "Eve"}})
    assert groups[a[0]] != groups[a[1]] and groups[a[2]] not in (groups[a[0]], groups[a[1]])
    assert set(groups[b].tolist()) == {groups[c]} and groups[d] >= 0
    assert (groups == groups[d]).sum() == 1
    assert {groups[i] for i in a[3:]} <= {groups[a[0]], groups[a[1]], groups[a[2]]}  # the others join them


def test_cells_find_what_all_pairs_do(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, whose = crowd([10] * 300, spread=0.6, size=256)
    exact = partition(group(rows, 0.4))
    monkeypatch.setattr(neighbours, "EXACT", 1000)
    assert partition(group(rows, 0.4)) == exact == partition(whose)


def test_scores_equal_the_obvious_way() -> None:
    rng = np.random.default_rng(1)
    groups, people = rng.integers(-1, 5, 60), rng.integers(0, 6, 60)
    told = np.where(groups < 0, 100 + np.arange(60), groups)
    same, right = told[:, None] == told, people[:, None] == people
    found = scores(groups, people.tolist())
    off = ~np.eye(60, dtype=bool)
    assert found["pairs_precision"] == pytest.approx((same & right & off).sum() / (same & off).sum())
    assert found["pairs_recall"] == pytest.approx((same & right & off).sum() / (right & off).sum())
    assert found["bcubed_precision"] == pytest.approx(((same & right).sum(1) / same.sum(1)).mean())
    assert found["bcubed_recall"] == pytest.approx(((same & right).sum(1) / right.sum(1)).mean())
    p, r = found["bcubed_precision"], found["bcubed_recall"]
    assert found["bcubed_f"] == pytest.approx(2 * p * r / (p + r))


MANY = """
import sys
from pathlib import Path
import numpy as np
from oneshot.album.linkage import group
count = int(sys.argv[1])
rng = np.random.default_rng(0)
centres = rng.standard_normal((count // 5, 64), dtype=np.float32)
rows = centres[np.arange(count) % len(centres)] + 0.5 * rng.standard_normal((count, 64), dtype=np.float32)
rows /= np.linalg.norm(rows, axis=1, keepdims=True)
groups = group(rows, 0.5)
# Not getrusage's peak, which a program inherits from the one that started it.
status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
print(groups.max() + 1, (groups < 0).sum(), int(status["VmHWM"].split()[0]) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_a_hundred_thousand_faces_are_grouped_in_linear_memory() -> None:
    def run(count: int) -> list[int]:
        command = [sys.executable, "-c", MANY, str(count)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        return [int(word) for word in done.stdout.split()]

    people, alone, peak = run(100_000)
    assert people == pytest.approx(20_000, rel=0.01) and alone < 100
    assert peak < 1024  # MiB; all pairs would take 20 GB
