"""The peers' files, and ONNX Runtime for those that it runs."""

from pathlib import Path

import onnxruntime

from oneshot.errors import OneShotError
from oneshot.inference.onnx import QUIET


def session(model: Path | bytes, threads: int) -> onnxruntime.InferenceSession:
    """ONNX Runtime on the CPU with exactly `threads` threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = QUIET  # MobileFaceNet's file speaks of one face: a warning a batch
    source = model if isinstance(model, bytes) else str(present(model))
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def present(path: Path) -> Path:
    """The path of a peer's file. OneShotError: it is not there."""
    if not path.is_file():
        raise OneShotError(f"{path}: no such file; fetch it and name its folder (--peers, --models)")
    return path
