#!/usr/bin/env python3
"""Write the network in ONNX Runtime's own format, for its mobile builds, and check that it stays the same.

python scripts/export_mobile.py --out mobile

OUT/oneshot.ort is the network; OUT/oneshot.required_operators_and_types.config lists what it computes, for
`build.sh --include_ops_by_config`: a runtime with these operators only. See docs/mobile.md.
"""

import argparse
import contextlib
import io
import logging
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from oneshot import OneShotError
from oneshot.errors import explained
from oneshot.files import replacing
from oneshot.inference.backend import weights_file
from oneshot.inference.onnx import OUTPUTS, QUIET, WHICH, OnnxBackend

PLATFORMS = ("arm", "amd64")
BOXES, COSINE = 0.01, 0.99999
"""Pixels that a box may move, and the least cosine of a face to itself: only rounding may differ."""


def export_mobile(weights: Path, out: Path, platform: str = "arm") -> list[Path]:
    """Convert an .onnx file; the paths of the network and of the list of its operators.

    Args:
        platform: "arm" for phones and boards; "amd64" also rearranges the weights for desktop processors.

    Raises:
        OneShotError: it is no network of oneshot, or the outcome differs from it.
    """
    OnnxBackend(weights, threads=1)  # says what is wrong with a bad file
    out.mkdir(parents=True, exist_ok=True)
    from onnxruntime.tools.convert_onnx_models_to_ort import OptimizationStyle, convert_onnx_models_to_ort

    with tempfile.TemporaryDirectory() as folder:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints every step
            convert_onnx_models_to_ort(
                weights,
                output_dir=Path(folder),
                optimization_styles=[OptimizationStyle.Fixed],
                target_platform=platform,
                enable_type_reduction=True,
            )
        written = sorted(Path(folder).iterdir(), key=lambda path: path.suffix, reverse=True)
        if [path.suffix for path in written] != [".ort", ".config"]:
            raise OneShotError(
                f"{weights}: ONNX Runtime could not convert it; upgrade onnxruntime and try again"
            )
        check_same(weights, written[0])
        for path in written:
            with replacing(out / path.name) as partial:
                partial.write_bytes(path.read_bytes())
    return [out / path.name for path in written]


def check_same(weights: Path, converted: Path) -> None:
    """Run both on noise, whose best cells are taken for faces.

    Raises:
        OneShotError: they differ.
    """
    before, after = OnnxBackend(weights, threads=1), OnnxBackend(converted, threads=1)
    if before.info != after.info:
        raise OneShotError(f"{converted.name}: lost the facts that {weights} carries; upgrade onnxruntime")
    for height, width in ((64, 96), (256, 160)):
        image = np.random.default_rng(height).integers(0, 256, (1, height, width, 3), np.uint8)
        for found in (0.0, 1.0):  # every cell a face, and none
            fault = difference(before.run(image, found, 0.45, 5), after.run(image, found, 0.45, 5))
            if fault:
                raise OneShotError(
                    f"{converted.name}: {fault} of {weights}; upgrade onnxruntime and try again"
                )


def difference(before: tuple[NDArray[Any], ...], after: tuple[NDArray[Any], ...]) -> str | None:
    """What differs between two runs of a backend; None if nothing does."""
    for name, a, b in zip((*OUTPUTS, WHICH), before, after, strict=True):
        if a.shape != b.shape:
            return f"{name} {b.shape} instead of the {a.shape}"
        if name == "embeddings":
            if not ((a * b).sum(1) >= COSINE).all():
                return f"{name} with a cosine of {(a * b).sum(1).min():.6f} to those"
        elif not np.allclose(a, b, atol=BOXES):
            return f"{name} {np.abs(a - b).max():.3f} away from those"
    return None


@explained
def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", type=Path, help="an .onnx file, or a shipped network (oneshot)")
    parser.add_argument("--out", type=Path, default=Path("mobile"), help="folder (mobile)")
    parser.add_argument("--platform", choices=PLATFORMS, default="arm", help="what will run it (arm)")
    args = parser.parse_args()
    ort.set_default_logger_severity(QUIET)
    logging.disable(logging.INFO)  # the converter logs every file
    for path in export_mobile(weights_file(args.weights), args.out, args.platform):
        print(f"{path}  {path.stat().st_size / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
