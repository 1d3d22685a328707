"""The ONNX Runtime backend: the whole pass is one graph, NMS included."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from oneshot.errors import OneShotError
from oneshot.inference.providers import Providers, check_available, read_providers
from oneshot.inference.subgraph import only
from oneshot.inference.threads import chosen_threads
from oneshot.types import Floats

INPUTS = {"image", "score_threshold", "iou_threshold", "max_faces"}
OUTPUTS = ("boxes", "scores", "landmarks", "embeddings")
WHICH = "images"
"""The output that says which picture a face is of."""

QUIET = 3
"""ONNX Runtime's severity "error": its warnings name nodes, which tell a user nothing."""


class OnnxBackend:
    """An .onnx file of oneshot, or an .ort one (scripts/export_mobile.py), run by ONNX Runtime.

    Args:
        path: the file.
        threads: CPU threads of one pass; None is as many as this process may use.
        providers: ONNX Runtime's execution providers, as `read_providers` takes them; None is the CPU. The
            runtime itself falls back to the CPU in silence where one fails; here that is an error.
        arena: keep the memory of one run for the next: faster, but it holds what the largest picture needed.

    Attributes:
        info: the facts that the file carries about itself.

    Raises:
        OneShotError: the file is missing, is not a network of oneshot, or a provider is not available.
    """

    def __init__(
        self,
        path: Path | str,
        threads: int | None = None,
        providers: Providers | None = None,
        arena: bool = True,
    ):
        path = Path(path)
        asked = read_providers(providers)
        if not path.is_file():
            raise OneShotError(
                f"{path}: no such weights file; give one that exists, or none for the shipped ones"
            )
        self._path, self._threads, self._providers, self._arena = path, threads, asked, arena
        self.session = self._load(path)
        check_available([name for name, _ in asked], self.session.get_providers())
        self.info = self._read_info(path)
        self._finder: ort.InferenceSession | None = None

    def _load(self, model: Path | bytes) -> ort.InferenceSession:
        options = ort.SessionOptions()
        options.log_severity_level = QUIET
        options.intra_op_num_threads = chosen_threads(self._threads)
        options.enable_cpu_mem_arena = self._arena
        try:
            return ort.InferenceSession(model, options, providers=self._providers)
        except Exception as error:  # ONNX Runtime's exceptions have no common base below Exception
            raise OneShotError(
                f"{self._path}: ONNX Runtime cannot load it ({type(error).__name__}); fetch the file again"
            ) from error

    def _read_info(self, path: Path) -> dict[str, Any]:
        foreign = OneShotError(
            f"{path}: not a network of oneshot; use weights that scripts/export_onnx.py wrote"
        )
        # What has a default is listed apart from the inputs that must be given.
        inputs = {i.name for i in (*self.session.get_inputs(), *self.session.get_overridable_initializers())}
        outputs = {o.name for o in self.session.get_outputs()}
        if inputs != INPUTS or not {*OUTPUTS, WHICH} <= outputs:
            raise foreign
        try:
            return dict(json.loads(self.session.get_modelmeta().custom_metadata_map["oneshot"]))
        except (KeyError, ValueError, TypeError):
            raise foreign from None

    @property
    def finder(self) -> ort.InferenceSession:
        """The network without its identity head, made when it is first wanted; it has threads of its own.

        An .ort file cannot be cut: there it is the whole network.
        """
        if self._finder is None:
            whole = self._path.suffix == ".ort"
            self._finder = (
                self.session if whole else self._load(only(self._path.read_bytes(), (*OUTPUTS[:3], WHICH)))
            )
        return self._finder

    def run(
        self,
        image: NDArray[np.uint8],
        score_threshold: float,
        iou_threshold: float,
        max_faces: int,
        embed: bool = True,
    ) -> tuple[Floats, Floats, Floats, Floats, NDArray[np.int64]]:
        """As `Backend.run`."""
        session, wanted = (self.session, OUTPUTS) if embed else (self.finder, OUTPUTS[:3])
        settings = {
            "score_threshold": np.array(score_threshold, np.float32),
            "iou_threshold": np.array(iou_threshold, np.float32),
            "max_faces": np.array(max_faces, np.int64),
        }
        *found, which = session.run((*wanted, WHICH), {"image": image, **settings})
        if not embed:
            found.append(np.empty((len(which), 0), np.float32))
        boxes, scores, landmarks, embeddings = found
        return boxes, scores, landmarks, embeddings, which
