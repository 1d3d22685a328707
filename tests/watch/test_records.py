"""Who was seen from when to when."""

import json

import numpy as np

from oneshot import Faces, Match
from oneshot.media.video import Frame
from oneshot.watch.records import Sightings, records


def test_stretches_end_after_the_gap() -> None:
    seen = Sightings(gap=1.0)
    for time in (0.0, 0.5, 1.5, 2.6, 3.0):
        seen.add(time, [Match("Ada", time / 10)])
    got = [(s.name, s.start, s.end, s.frames, s.similarity) for s in seen.intervals()]
    assert got == [("Ada", 0.0, 1.5, 3, 0.15), ("Ada", 2.6, 3.0, 2, 0.3)]


def test_each_name_has_its_own_stretches_and_a_frame_counts_once() -> None:
    seen = Sightings()
    seen.add(0.0, [Match(None, 0.1), Match("Bo", 0.6), Match(None, 0.2), Match("Ada", 0.5)])
    seen.add(0.1, [])
    seen.add(0.2, [Match("Ada", 0.7), Match("Ada", 0.4)])
    got = [(s.name, s.start, s.end, s.frames, s.similarity) for s in seen.intervals()]
    assert got == [("Ada", 0.0, 0.2, 2, 0.7), ("Bo", 0.0, 0.0, 1, 0.6), (None, 0.0, 0.0, 1, 0.2)]


def test_nobody() -> None:
    assert Sightings().intervals() == []


def test_records_are_rows_of_plain_numbers() -> None:
    points = np.arange(10, dtype=np.float32).reshape(1, 5, 2)
    one = Faces(np.array([[1, 2, 3.456, 4]]), np.array([0.9]), points, np.ones((1, 4)))  # type: ignore[arg-type]
    frame = Frame(7, 0.28, np.zeros((9, 9, 3), np.uint8))
    (record,) = json.loads(json.dumps(records(frame, one, [Match("Ada", 0.5)])))
    assert record == {
        "frame": 7,
        "time": 0.28,
        "box": [1, 2, 3.46, 4],
        "score": 0.9,
        "landmarks": [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]],
        "name": "Ada",
        "similarity": 0.5,
    }
    assert [(r["name"], r["similarity"]) for r in records(frame, one, None)] == [(None, None)]
    assert records(frame, Faces.empty(), []) == []
