"""Faces joined into people: average linkage on the graph of those alike, component by component.

The mean cosine between two groups is the product of their embeddings' sums over that of their sizes, so that
no matrix of all pairs is needed. And a mean that reaches the threshold needs a pair that does: only groups
that such a pair links are ever compared, and the outcome is that of comparing all.
"""

import heapq
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from oneshot.album.neighbours import Ints, alike
from oneshot.errors import OneShotError
from oneshot.geometry import described
from oneshot.types import Floats

Groups = NDArray[np.intp]


def group(
    embeddings: Floats,
    threshold: float,
    photos: Sequence[str] | None = None,
    names: Mapping[int, str] | None = None,
    barred: Mapping[int, set[str]] | None = None,
) -> Groups:
    """Which faces are of the same person: (N,) numbers from 0 by falling size of group, -1 for those alone.

    Groups are joined, the most similar first, while the mean similarity between their faces reaches
    `threshold`: the cosine at which two photos are said to be the same person. A face that could not be
    described is alone.

    Args:
        embeddings: (N, D) float32, L2-normalised.
        photos: (N,) of which photo each face is; two faces of one photo are two people.
        names: who somebody said a face is: those of one name are one group, and of two names two.
        barred: names that somebody said a face does not have.

    Raises:
        OneShotError: faiss or SciPy is missing.
    """
    told = np.flatnonzero(described(embeddings))
    pairs, cosines = alike(embeddings[told] if len(told) < len(embeddings) else embeddings, threshold)
    pairs = told[pairs]
    named = names or {}
    labels = np.arange(len(embeddings))
    for rows, links in _components(len(embeddings), pairs, cosines, named):
        people = _Linkage(embeddings, threshold, photos, named, barred or {})
        for number, face in people.join(rows, links):
            labels[face] = number
    return _by_size(labels, named)


def _components(
    count: int, pairs: Ints, cosines: Floats, names: Mapping[int, str]
) -> Iterator[tuple[list[int], list[tuple[int, int, float]]]]:
    """The faces that pairs or a name link, and their pairs; faces alone are left out."""
    try:
        from scipy.sparse import coo_matrix
        from scipy.sparse.csgraph import connected_components
    except ModuleNotFoundError:
        raise OneShotError("grouping faces needs scipy; pip install 'oneshot-face[photos]'") from None
    first: dict[str, int] = {}
    same = np.array([(first.setdefault(name, i), i) for i, name in names.items()], np.int64).reshape(-1, 2)
    links = np.concatenate((pairs, same))
    graph = coo_matrix((np.ones(len(links), np.int8), links.T), (count, count))
    number, component = connected_components(graph, directed=False)
    of_pairs = component[pairs[:, 0]] if len(pairs) else np.empty(0, np.int64)
    order, faces = np.argsort(of_pairs, kind="stable"), np.argsort(component, kind="stable")
    pair_ends = np.cumsum(np.bincount(of_pairs, minlength=number))
    face_ends = np.cumsum(np.bincount(component, minlength=number))
    for i in np.flatnonzero(np.diff(face_ends, prepend=0) > 1):
        mine = order[pair_ends[i - 1] if i else 0 : pair_ends[i]]
        rows = faces[face_ends[i - 1] if i else 0 : face_ends[i]].tolist()
        low, high = pairs[mine].T.tolist()
        yield rows, list(zip(low, high, cosines[mine].tolist(), strict=True))


class _Linkage:
    """The groups of one component while they are joined; a group's number is that of its first face."""

    def __init__(
        self,
        embeddings: Floats,
        threshold: float,
        photos: Sequence[str] | None,
        names: Mapping[int, str],
        barred: Mapping[int, set[str]],
    ):
        self.embeddings, self.threshold = embeddings, threshold
        self.of_photo, self.names, self.barring = photos, names, barred
        self.members: dict[int, list[int]] = {}
        self.sums: dict[int, Floats] = {}
        self.photos: dict[int, set[str]] = {}
        self.name: dict[int, str | None] = {}
        self.barred: dict[int, set[str]] = {}
        self.near: dict[int, set[int]] = {}
        self.age: dict[int, int] = {}  # how often it was joined: what was said of it before no longer holds
        self.heap: list[tuple[float, int, int, int, int]] = []

    def join(self, rows: list[int], links: list[tuple[int, int, float]]) -> Iterator[tuple[int, int]]:
        """(group, face) for every face of a component."""
        for i in rows:
            self.members[i], self.sums[i] = [i], self.embeddings[i]
            self.photos[i] = set() if self.of_photo is None else {self.of_photo[i]}
            self.name[i], self.barred[i] = self.names.get(i), set(self.barring.get(i, ()))
            self.near[i], self.age[i] = set(), 0
        for a, b, cosine in links:
            self._link(a, b, cosine)
        heapq.heapify(self.heap)
        same: dict[str, list[int]] = {}
        for i in rows:
            if (name := self.names.get(i)) is not None:
                same.setdefault(name, []).append(i)
        for first, *others in same.values():
            for other in others:
                self._merge(first, other)
        while self.heap:
            _, a, b, age_a, age_b = heapq.heappop(self.heap)
            if (self.age.get(a), self.age.get(b)) == (age_a, age_b):
                self._merge(a, b)
        return ((number, face) for number, faces in self.members.items() for face in faces)

    def _link(self, a: int, b: int, cosine: float) -> None:
        if cosine >= self.threshold and self._may_join(a, b):
            self.near[a].add(b)
            self.near[b].add(a)
            self.heap.append((-cosine, a, b, self.age[a], self.age[b]))

    def _may_join(self, a: int, b: int) -> bool:
        one, other = self.name[a], self.name[b]
        if one is not None and other is not None and one != other:
            return False
        if one in self.barred[b] or other in self.barred[a]:
            return False
        return self.photos[a].isdisjoint(self.photos[b])

    def _merge(self, a: int, b: int) -> None:
        near = sorted((self.near[a] | self.near.pop(b)) - {a, b})
        self.members[a] += self.members.pop(b)
        self.sums[a] = self.sums[a] + self.sums.pop(b)
        self.photos[a] |= self.photos.pop(b)
        self.barred[a] |= self.barred.pop(b)
        name = self.name.pop(b)
        self.name[a] = name if self.name[a] is None else self.name[a]
        self.age[a] += 1
        del self.age[b]
        self.near[a] = set()
        for c in near:
            self.near[c] -= {a, b}
        if not near:
            return
        sizes = np.array([len(self.members[c]) for c in near]) * len(self.members[a])
        cosines = np.stack([self.sums[c] for c in near]) @ self.sums[a] / sizes
        start = len(self.heap)
        for c, cosine in zip(near, cosines.tolist(), strict=True):
            self._link(a, c, cosine)
        added = self.heap[start:]
        del self.heap[start:]
        for entry in added:
            heapq.heappush(self.heap, entry)


def _by_size(labels: Groups, names: Mapping[int, str]) -> Groups:
    """Groups numbered by falling size; a face alone is a group only if it has a name."""
    _, labels, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    counts = sizes.copy()
    for i in names:
        counts[labels[i]] = max(counts[labels[i]], 2)
    rank = np.empty(len(sizes), np.intp)
    rank[np.lexsort((np.arange(len(sizes)), -sizes, counts < 2))] = np.arange(len(sizes))
    return np.where(counts[labels] > 1, rank[labels], -1)


def scores(groups: Groups, people: Sequence[object]) -> dict[str, float]:
    """How well groups tell people: precision, recall and F of pairs and by BCubed (Amigó et al. 2009).

    A face alone (-1) is a group of its own.

    Args:
        people: (N,) who each face is.
    """
    groups = np.where(groups < 0, np.arange(len(groups)) + len(groups), groups)
    _, found = np.unique(groups, return_inverse=True)
    _, true = np.unique(np.asarray(people), return_inverse=True)
    both = np.unique(np.stack((found, true)), axis=1, return_inverse=True, return_counts=True)
    shared = both[2][np.ravel(both[1])].astype(float)  # for each face, those of its group and person
    of_group, of_person = np.bincount(found)[found], np.bincount(true)[true]
    pairs = [float((shared - 1).sum() / max((n - 1).sum(), 1)) for n in (of_group, of_person)]
    bcubed = [float((shared / n).mean()) for n in (of_group, of_person)]
    return {
        f"{way}_{what}": value
        for way, (precision, recall) in (("pairs", pairs), ("bcubed", bcubed))
        for what, value in (
            ("precision", precision),
            ("recall", recall),
            ("f", 2 * precision * recall / max(precision + recall, 1e-12)),
        )
    }
