"""Faces as records."""

import json

import numpy as np

from oneshot import Faces, Match
from oneshot.types import Frame
from oneshot.watch.records import records


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
        "margin": None,
        "reason": None,
    }
    assert [(r["name"], r["similarity"]) for r in records(frame, one, None)] == [(None, None)]
    assert records(frame, Faces.empty(), []) == []
