"""Checkpoints that a run goes on from as if it had never stopped."""

from pathlib import Path
from typing import Any

import torch

from oneshot.errors import OneShotError
from oneshot.files import replacing

NAME = "last.ckpt"


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Write `folder/last.ckpt` by a temporary name: a kill at any moment leaves the one before it."""
    with replacing(folder / NAME) as partial:
        torch.save(state, partial)


def load_checkpoint(folder: Path) -> dict[str, Any]:
    """What `save_checkpoint` wrote; only tensors and plain values are read, never code.

    Raises:
        OneShotError: there is no checkpoint in the folder, or it is broken.
    """
    path = folder / NAME
    if not path.is_file():
        raise OneShotError(f"{path}: no checkpoint there; --resume wants the --out folder of an earlier run")
    try:
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # torch.load raises half a dozen kinds for a damaged file
        raise OneShotError(
            f"{path}: the checkpoint does not load ({error.__class__.__name__}); start anew"
        ) from None
