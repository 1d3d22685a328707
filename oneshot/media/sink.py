"""One kind of sink for a video and for a picture."""

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from oneshot.errors import OneShotError
from oneshot.files import check_writable, replacing
from oneshot.media.encode import CODECS, Encoder, open_encoder
from oneshot.media.images import IMAGE_SUFFIXES
from oneshot.types import Image


class VideoSink:
    """Writes frames to a video, or the only one to a picture; the file appears when the block is left.

        with VideoSink("out.mp4", fps=25) as sink:
            sink.write(frame)

    Videos are H.264 with a time for each frame where PyAV is installed. Frames of another size than the first
    are fitted into it, with black around them.

    Args:
        path: ends in .mp4, .mov, .mkv or .avi, or as a picture does.
        fps: frames a second, of frames written without a time.
        sound: the video whose sound is to be heard with the frames.
        grows: write to the file's own name at once, in fragments: what was written can be played even where
            the process is killed.

    Raises:
        OneShotError: the file cannot be written, its kind is not known, or a picture gets a second frame.
    """

    def __init__(
        self, path: Path | str, fps: float = 25.0, *, sound: Path | None = None, grows: bool = False
    ):
        self.path, self.fps, self.sound, self.grows = Path(path), fps, sound, grows
        suffix = self.path.suffix.lower()
        self.picture = suffix in IMAGE_SUFFIXES
        if not self.picture and suffix not in CODECS:
            raise OneShotError(
                f"{path}: cannot write this kind of file; end its name in {', '.join(CODECS)} or .jpg"
            )
        check_writable(self.path)
        self._encoder: Encoder | None = None
        self._size = (0, 0)
        self._count, self._first = 0, 0.0
        self._stack = ExitStack()

    def __enter__(self) -> "VideoSink":
        self._written = (
            self.path if self.grows else self._stack.enter_context(replacing(self.path, unfinished=True))
        )
        return self

    def write(self, image: Image, seconds: float | None = None) -> None:
        """Add a frame, (H, W, 3) BGR uint8, at its time in the source; without one, after 1 / fps."""
        seconds = self._count / self.fps if seconds is None else seconds
        if not self._count:
            self._first = seconds
            self._open(image)
        elif self.picture:
            raise OneShotError(f"{self.path}: a picture holds one frame; end the name in {', '.join(CODECS)}")
        if self._encoder is not None:
            self._encoder.write(_fitted(image, self._size), seconds - self._first)
        self._count += 1

    def _open(self, image: Image) -> None:
        if self.picture:
            if not cv2.imwrite(str(self._written), image):
                raise OneShotError(f"{self.path}: cannot be written; end the name in .jpg or .png")
            return
        # Codecs halve the colours' resolution, which wants even sides.
        height, width = (side + side % 2 for side in image.shape[:2])
        self._size = (width, height)
        self._encoder = open_encoder(
            self._stack, self._written, self.path, self._size, self.fps, self.sound, self._first, self.grows
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            if self._encoder is not None:
                self._encoder.close()


def _fitted(image: Image, size: tuple[int, int]) -> Image:
    """`image` in a (width, height) frame: as it is if it fits to the pixel, else scaled and centred."""
    height, width = image.shape[:2]
    if (width, height) == size:
        return image
    if not (0 <= size[0] - width <= 1 and 0 <= size[1] - height <= 1):
        scale = min(size[0] / width, size[1] / height)
        width, height = max(1, int(width * scale)), max(1, int(height * scale))
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        image = np.asarray(cv2.resize(image, (width, height), interpolation=how), np.uint8)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    frame = np.zeros((size[1], size[0], 3), np.uint8)
    frame[top : top + height, left : left + width] = image
    return frame
