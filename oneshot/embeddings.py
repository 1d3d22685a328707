"""What is done to embeddings before they are compared."""

import numpy as np

from oneshot.types import Floats


def normalised(vectors: Floats) -> Floats:
    """Vectors (…, D) scaled to length 1, so that their products are cosines; zeros stay zeros."""
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True).clip(1e-12)
