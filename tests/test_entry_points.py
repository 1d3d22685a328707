"""Whatever is handed to a function of the API: an answer, or one sentence; never another exception."""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake import photo
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from oneshot import Gallery, OneShot, OneShotError, read_image
from oneshot.files import from_readable, readable, shown
from oneshot.media.video import frames

SHAPES = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=6)
ARRAYS = st.one_of(
    arrays.arrays(np.uint8, SHAPES),
    arrays.arrays(np.float32, SHAPES),
    arrays.arrays(np.bool_, SHAPES),
    arrays.arrays(
        np.dtype("<U3"), SHAPES, elements=st.text(st.characters(exclude_characters="\0"), max_size=3)
    ),
)
ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.binary(max_size=40),
    st.binary(max_size=40).map(io.BytesIO),
    st.text(max_size=20).map(io.StringIO),
    st.lists(st.one_of(st.text(max_size=3), st.integers(), st.none()), max_size=3),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
    st.sampled_from((Path("none.jpg"), Path(), object(), len, "https://example.com/a.jpg", "\ud800", "a\0b")),
    ARRAYS,
)


def one_sentence(error: OneShotError) -> None:
    assert str(error) and "Traceback" not in str(error)


@given(ANYTHING)
def test_read_image(given_source: Any) -> None:
    try:
        image = read_image(given_source)
    except OneShotError as error:
        one_sentence(error)
    else:
        assert image.dtype == np.uint8 and image.ndim == 3


@given(ANYTHING)
def test_a_model_called(model: OneShot, image: Any) -> None:
    try:
        faces = model(image)
    except OneShotError as error:
        one_sentence(error)
    else:
        assert len(faces) >= 0


@given(st.sampled_from(("side", "min_side", "max_faces", "threads", "score_threshold")), ANYTHING)
def test_a_models_settings(fake_weights: Path, name: str, value: Any) -> None:
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.ravel()
    try:
        OneShot(fake_weights, **{"threads": 1, name: value})
    except OneShotError as error:
        one_sentence(error)


@given(st.lists(ANYTHING, max_size=2) | ANYTHING, st.just("Zoe") | ANYTHING)
def test_enroll(model: OneShot, photos: Any, name: Any) -> None:
    gallery = Gallery(model)
    try:
        gallery.enroll(name, photos)
    except OneShotError as error:
        one_sentence(error)
        assert not gallery.names


@pytest.fixture(scope="module")
def gallery(model: OneShot) -> Gallery:
    gallery = Gallery(model)
    gallery.enroll("Rhea", [photo("Rhea")])
    return gallery


@given(st.just(np.zeros((2, 1000))) | ANYTHING, st.none() | ANYTHING)
def test_identify(gallery: Gallery, embeddings: Any, threshold: Any) -> None:
    for call in (gallery.identify, lambda *given: gallery.verify("Rhea", *given)):
        try:
            assert all(match.name in (None, "Rhea") for match in call(embeddings, threshold))
        except OneShotError as error:
            one_sentence(error)


@given(ANYTHING)
def test_verify_and_remove_whoever(gallery: Gallery, name: Any) -> None:
    for call in (lambda: gallery.verify(name, np.zeros((1, 1000))), lambda: gallery.remove(name)):
        with pytest.raises(OneShotError):
            call()


@given(st.text(max_size=20).filter(lambda text: not text.isdecimal() and "://" not in text))
def test_frames_of_whatever_name(name: str) -> None:
    with pytest.raises(OneShotError):
        list(frames(f"/none/{name}"))


@given(st.binary(max_size=30).filter(lambda name: b"\0" not in name))
def test_names_become_text_and_back(name: bytes) -> None:
    text = readable(os.fsdecode(name))
    assert os.fsencode(from_readable(text)) == name
    assert text.encode() and shown(text) == text if name else text == ""
