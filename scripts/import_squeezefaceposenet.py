#!/usr/bin/env python3
"""The authors' SqueezeFacePoseNet+DWC, from their MATLAB file to weights of the two-stage path.

python scripts/import_squeezefaceposenet.py SqueezeFacePoseNet_with_separable_DWC.mat sfpn-dwc.safetensors
python scripts/import_squeezefaceposenet.py runs/distil/weights.safetensors own.safetensors    # our own

The file is in the authors' repository, github.com/HalmstadUniversityBiometrics (MIT). The example crops, if
they lie beside it as there, are described to check the result. With --lfw, thresholds go along:

python scripts/evaluate.py lfw --pipeline two-stage --weights sfpn-dwc.safetensors --data DATA --json lfw.json
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from oneshot import OneShotError, read_image
from oneshot.errors import explained
from oneshot.evaluation.report import thresholds
from oneshot.files import check_writable
from oneshot.geometry import normalised
from oneshot.types import Image

EXAMPLES = [f"image_example{i}.png" for i in (1, 2, 3)]
"""Three people, one crop each, in the authors' repository."""

FACTS: dict[str, Any] = {
    "name": "SqueezeFacePoseNet+DWC",
    "licence": "MIT, HalmstadUniversityBiometrics; trained on photos for research (MS-Celeb-1M, VGGFace2)",
    "source": "SqueezeFacePoseNet_with_separable_DWC.mat, arXiv:2007.08566",
    "input": "RGB 113x113, 0..255",
}
OWN: dict[str, Any] = {
    "licence": "code MIT; weights for research: see NOTICE",
    "source": "the authors' DWC file, taught on by EdgeFace-XXS (scripts/configs/distil.toml)",
}
"""Instead, where the file is of that training."""


@explained
def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "file", type=Path, help="SqueezeFacePoseNet_with_separable_DWC.mat, or weights of scripts/train.py"
    )
    parser.add_argument("out", type=Path, help="the .safetensors to write")
    parser.add_argument("--lfw", type=Path, help="result of evaluate.py lfw, whose thresholds to carry")
    args = parser.parse_args(argv)
    convert(args.file, args.out, args.lfw)
    return 0


def convert(file: Path, out: Path, lfw: Path | None) -> None:
    """Read, check, write, and say what was done."""
    if out.suffix != ".safetensors":
        raise OneShotError(f"{out}: weights of the two-stage path end in .safetensors; rename it")
    check_writable(out)
    info = {**FACTS, "thresholds": thresholds(lfw) if lfw else {}}
    from oneshot.convert.from_matlab import read_mat
    from oneshot.models.squeezefaceposenet import form_name
    from oneshot.models.weights import load_squeezefaceposenet, save_weights

    console = Console(highlight=False)
    if own := file.suffix == ".safetensors":
        net, trained = load_squeezefaceposenet(file)
        info = {**trained, **info, **OWN, "name": form_name(net.config)}
    else:
        net = read_mat(file)
    examples = [file.with_name(name) for name in EXAMPLES]
    if all(path.is_file() for path in examples):
        same, others = check(net, [read_image(path) for path in examples])
        console.print(f"example crops: mirrored {same:.2f} alike, other people {others:.2f} at most")
    sha = save_weights(out, net, info, half=own)
    count = sum(p.numel() for p in net.parameters())
    console.print(
        f"{out}  {count:,} parameters  {out.stat().st_size / 1e6:.2f} MB  sha256 of the weights {sha}"
    )


def check(net: Any, crops: list[Image]) -> tuple[float, float]:
    """Least cosine of a face and its mirror image, and greatest of different people's.

    Raises:
        OneShotError: strangers are more alike than that: the weights were not read as they are meant.
    """
    from oneshot.inference.torch import describe_crops

    faces, mirrored = np.stack(crops), np.stack([crop[:, ::-1] for crop in crops])
    first, second = (normalised(describe_crops(net, batch)) for batch in (faces, mirrored))
    same = float(np.einsum("nd,nd->n", first, second).min())
    others = float((first @ first.T - np.eye(len(crops))).max())
    if not others < same:
        raise OneShotError(
            f"the example crops' mirror images are less alike ({same:.2f}) than strangers ({others:.2f}): "
            "the file was read wrongly; report it"
        )
    return same, others


if __name__ == "__main__":
    sys.exit(main())
