"""What runs the network: one backend a file format, chosen by the weights' suffix, all with the same call."""

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from oneshot.types import Floats


class Backend(Protocol):
    """A network that has been loaded.

    Attributes:
        info: the facts that the weights carry about themselves: name, sha256, thresholds, licence ...
    """

    info: dict[str, Any]

    def run(
        self,
        image: NDArray[np.uint8],
        score_threshold: float,
        iou_threshold: float,
        max_faces: int,
        embed: bool = True,
    ) -> tuple[Floats, Floats, Floats, Floats, NDArray[np.int64]]:
        """Boxes (N, 4), scores (N,), landmarks (N, 5, 2), embeddings (N, D) and pictures (N,), NMS done.

        `image` is (B, H, W, 3) RGB, H and W multiples of 32; coordinates are its pixels. `pictures` says
        which of the B a face is of: picture after picture, best first, at most `max_faces` of each. Without
        `embed` the work for the embeddings is spared, and they are (N, 0).
        """
        ...


def default_weights(name: str = "oneshot.onnx") -> Path:
    """Where weights of that name are shipped: inside the installed package, or at the top of a checkout."""
    package = Path(__file__).resolve().parents[1]
    packaged = package / "weights" / name
    return packaged if packaged.exists() else package.parent / "weights" / name


def weights_file(given: str | Path | None, usual: str = "oneshot", suffix: str = ".onnx") -> Path:
    """The file that `given` names: a path, or a shipped network ("oneshot-int8"); None is the `usual` one."""
    path = Path(usual if given is None else given)
    shipped = default_weights(f"{path}{suffix}")
    return shipped if path.name == str(path) and not path.suffix and shipped.is_file() else path


def portable(given: str | Path | None, file: Path) -> str | Path | None:
    """What names the same weights to another process: a shipped network's name, else the path in full.

    Args:
        file: what `weights_file` made of `given`.
    """
    return file.absolute() if given is not None and file == Path(given) else given
