"""The one face that a photo must show to be compared, and why one cannot tell whose it is."""

from oneshot.errors import OneShotError
from oneshot.gallery.enrolment import CANNOT_TELL
from oneshot.gallery.quality import Quality, too_poor
from oneshot.geometry import described
from oneshot.types import Faces

NO_FACE = "no face found"


def single(name: str, faces: Faces) -> Faces:
    """The face in a photo, or none.

    Args:
        name: what the photo is called in messages.

    Raises:
        OneShotError: there are several.
    """
    if len(faces) > 1:
        raise OneShotError(f"{name}: {len(faces)} faces found where one is wanted; crop it to the one meant")
    return faces


def nobody(faces: Faces) -> str:
    """Why what `single` gives cannot be compared with anybody; "" if it can."""
    if not len(faces):
        return NO_FACE
    return "" if described(faces.embeddings[0]) else CANNOT_TELL


def untold(faces: Faces, qualities: list[Quality]) -> str:
    """Why nobody can tell who the face that `single` gives is; "" if one can, or if there is none."""
    return (nobody(faces) or too_poor(qualities[0])) if len(faces) else ""
