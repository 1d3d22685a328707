"""Pictures of many requests share the runs of one network: it takes what waits, several at a time."""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from oneshot.inference.predictor import TOGETHER, OneShot
from oneshot.types import Faces, Image


@dataclass(frozen=True, slots=True)
class _Asked:
    image: Image
    embed: bool
    answer: "Future[Faces]" = field(default_factory=Future)


class Batcher:
    """One thread that runs the network on whatever waits.

    It never waits for a batch to fill: a picture that comes alone is looked at alone, and while the network
    is busy, those that come share its next run.

    Args:
        model: the network.
        most: pictures in a run.
        ran: told of each run how many pictures it had, how many faces, and its seconds.
    """

    def __init__(
        self,
        model: OneShot,
        most: int = TOGETHER,
        ran: Callable[[int, int, float], None] = lambda *_: None,
    ):
        self._model, self._most, self._ran = model, most, ran
        self._waiting: queue.SimpleQueue[_Asked | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="oneshot-network", daemon=True)
        self._thread.start()

    def submit(self, image: Image, embed: bool = True) -> "Future[Faces]":
        """The faces of a BGR picture (H, W, 3), as soon as they are found; cancel what nobody waits for."""
        asked = _Asked(image, embed)
        self._waiting.put(asked)
        return asked.answer

    @property
    def alive(self) -> bool:
        """Whether pictures are being looked at."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Answer what waits, and end."""
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (first := self._waiting.get()) is not None:
            batch, ending = [first], False
            while len(batch) < self._most and not ending:
                try:
                    asked = self._waiting.get_nowait()
                except queue.Empty:
                    break
                if asked is None:
                    ending = True
                else:
                    batch.append(asked)
            wanted = [asked for asked in batch if asked.answer.set_running_or_notify_cancel()]
            for embed in (True, False):
                self._run([asked for asked in wanted if asked.embed == embed], embed)
            if ending:
                return

    def _run(self, batch: Sequence[_Asked], embed: bool) -> None:
        if not batch:
            return
        start = time.perf_counter()
        try:
            found = self._model([asked.image for asked in batch], embed=embed)
        except Exception as error:
            if len(batch) == 1:
                batch[0].answer.set_exception(error)
            else:  # one may be at fault; the others get their answers
                for asked in batch:
                    self._run([asked], embed)
            return
        self._ran(len(batch), sum(map(len, found)), time.perf_counter() - start)
        for asked, faces in zip(batch, found, strict=True):
            asked.answer.set_result(faces)
