"""Which faces of a collection are alike: each one's nearest neighbours, found in blocks by faiss.

Up to EXACT faces every pair is compared. Beyond, faces are sorted into cells first (an inverted file), and
each is compared with those of the nearest cells only, so that time grows by far less than the square.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from oneshot.errors import OneShotError
from oneshot.types import Floats

Ints = NDArray[np.int64]

NEIGHBOURS = 64
"""Of a face, at most. Somebody with more photos is held together by other pairs of them."""

EXACT = 20_000
"""Faces."""

PROBES = 32
"""Cells that are searched for a face's neighbours."""

BLOCK = 4096


def alike(embeddings: Floats, threshold: float) -> tuple[Ints, Floats]:
    """Pairs of faces (P, 2), the lower row first, whose cosine reaches the threshold, and the cosines (P,).

    Memory grows with the number of faces, not of pairs: at most NEIGHBOURS of each are kept.

    Args:
        embeddings: (N, D) float32, L2-normalised.

    Raises:
        OneShotError: faiss is missing.
    """
    count = len(embeddings)
    index = _index(embeddings)
    numbers, cosines = [np.empty(0, np.int64)], [np.empty(0, np.float32)]
    for start in range(0, count, BLOCK):
        block = np.ascontiguousarray(embeddings[start : start + BLOCK])
        similar, found = index.search(block, min(NEIGHBOURS + 1, count))
        own = np.arange(start, start + len(block))[:, None]
        kept = (similar >= threshold) & (found >= 0) & (found != own)
        low, high = np.minimum(own, found)[kept], np.maximum(own, found)[kept]
        numbers.append(low * count + high)  # one number a pair, to see which are there twice
        cosines.append(similar[kept])
    pairs, first = np.unique(np.concatenate(numbers), return_index=True)
    return np.stack((pairs // max(count, 1), pairs % max(count, 1)), 1), np.concatenate(cosines)[first]


def _index(embeddings: Floats) -> Any:
    try:
        import faiss
    except ModuleNotFoundError:
        raise OneShotError("grouping faces needs faiss; pip install 'oneshot-face[photos]'") from None
    count, size = embeddings.shape
    if count <= EXACT:
        exact = faiss.IndexFlatIP(size)
        exact.add(np.ascontiguousarray(embeddings, np.float32))
        return exact
    cells = int(4 * count**0.5)
    # Half precision: the index holds every embedding once more.
    kind = faiss.ScalarQuantizer.QT_fp16
    index: Any = faiss.IndexIVFScalarQuantizer(
        faiss.IndexFlatIP(size), size, cells, kind, faiss.METRIC_INNER_PRODUCT, False
    )
    index.cp.niter, index.cp.spherical, index.cp.max_points_per_centroid = 5, True, 50
    index.cp.min_points_per_centroid = 1
    sample = np.random.default_rng(0).choice(count, min(count, 50 * cells), replace=False)
    index.train(np.ascontiguousarray(embeddings[np.sort(sample)], np.float32))
    for start in range(0, count, BLOCK):
        index.add(np.ascontiguousarray(embeddings[start : start + BLOCK], np.float32))
    index.nprobe = min(PROBES, cells)
    return index
