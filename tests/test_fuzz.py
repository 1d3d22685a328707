"""Damaged files of every kind give a picture, a gallery, or a OneShotError; never anything else.

pytest tests/test_fuzz.py --hypothesis-profile long
"""

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from oneshot import OneShotError, read_image
from oneshot.gallery.entries import Entry
from oneshot.gallery.npz import read_npz, write_npz
from oneshot.gallery.sqlite import Store
from oneshot.media.headers import header_size

MODEL = "a" * 64
KINDS = (".png", ".jpg", ".webp", ".bmp", ".tif", ".gif", ".ppm", ".jp2", ".avif")


@cache
def encoded(kind: str) -> bytes:
    image = np.random.default_rng(0).integers(0, 256, (40, 52, 3), np.uint8)
    written = cv2.haveImageWriter(f"a{kind}")  # not every build writes every kind
    return np.asarray(cv2.imencode(kind if written else ".png", image)[1]).tobytes()


@cache
def saved(suffix: str) -> bytes:
    """A gallery's file with three entries."""
    entries = [Entry(name, "", "0" * 64, 0.5, MODEL) for name in ("Ada", "Bo", "Cy")]
    embeddings = np.eye(3, 8, dtype=np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"g{suffix}"
        if suffix == ".npz":
            write_npz(path, entries, embeddings)
        else:
            store = Store(path)
            store.add(entries, embeddings)
            store.close()
        return path.read_bytes()


def test_every_kind_states_its_size(tmp_path: Path) -> None:
    for kind in KINDS:
        assert header_size(encoded(kind)) == (52, 40), kind
        (tmp_path / f"a{kind}").write_bytes(encoded(kind))
        assert read_image(tmp_path / f"a{kind}").shape == (40, 52, 3)


@st.composite
def damaged(draw: st.DrawFn, source: Callable[[], bytes]) -> bytes:
    """Some bytes changed, some cut out or doubled, the end cut off."""
    data = bytearray(source())
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        what = draw(st.sampled_from(("set", "cut", "insert", "end")))
        if what == "set" and data:
            data[at] = draw(st.integers(0, 255))
        elif what == "cut":
            del data[at : at + draw(st.integers(1, 64))]
        elif what == "insert":
            data[at:at] = draw(st.binary(max_size=32))
        elif what == "end":
            del data[at:]
    return bytes(data)


@given(st.data(), st.sampled_from(KINDS))
def test_pictures(data: st.DataObject, kind: str) -> None:
    content = data.draw(damaged(lambda: encoded(kind)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a{kind}"
        path.write_bytes(content)
        try:
            image = read_image(path)
        except OneShotError as error:
            assert str(error).startswith(str(path))
        else:
            assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and image.size


@given(st.binary(max_size=200), st.sampled_from([encoded(kind)[:24] for kind in KINDS]))
def test_any_bytes_have_a_size_or_none(data: bytes, head: bytes) -> None:
    for content in (data, head + data):
        size = header_size(content)
        assert size is None or (len(size) == 2 and all(side >= 0 for side in size))


@given(st.data(), st.sampled_from((".db", ".npz")))
def test_galleries(data: st.DataObject, suffix: str) -> None:
    content = data.draw(damaged(lambda: saved(suffix)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"g{suffix}"
        path.write_bytes(content)
        try:
            if suffix == ".npz":
                _, entries, embeddings = read_npz(path, MODEL)
            else:
                store = Store(path)
                try:
                    entries, embeddings = store.read(MODEL)
                finally:
                    store.close()
        except OneShotError as error:
            assert str(path) in str(error)
        else:
            assert len(entries) == len(embeddings) and np.isfinite(embeddings).all()
            assert all(isinstance(entry.name, str) for entry in entries)
