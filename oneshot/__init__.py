"""Every face in a picture and who it is, in one pass of one small network.

    from oneshot import Gallery, OneShot, read_image

    model = OneShot()
    gallery = Gallery.from_folder("people", model)
    faces = model(read_image("photo.jpg"))
    print(gallery.identify(faces.embeddings))

`TwoStage`, the detector and recogniser that one pass replaces, is called alike. Nothing here imports torch;
only weights in .safetensors form, `TwoStage` and the training code need it.
"""

import os

# Before ONNX Runtime is loaded, which otherwise keeps an id of this machine and reports to its maker.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from oneshot.errors import OneShotError, OneShotWarning
from oneshot.gallery.gallery import Gallery
from oneshot.inference.predictor import OneShot
from oneshot.inference.two_stage import TwoStage
from oneshot.media.images import read_image
from oneshot.types import Faces, Match

__version__ = "0.1.0"
__all__ = [
    "Faces",
    "Gallery",
    "Match",
    "OneShot",
    "OneShotError",
    "OneShotWarning",
    "TwoStage",
    "__version__",
    "read_image",
]
