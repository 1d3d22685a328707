"""Composing one training scene: a framed photo, a mosaic of four, pasted face crops or a plain background."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import albumentations as A
import numpy as np

from oneshot.training.data.cover import covered
from oneshot.training.data.paste import blend, hides, mask_of, part, scrambled, window_of
from oneshot.training.data.pool import Photo, ScenePool, photo_pixels
from oneshot.training.data.warp import Array, Labels, Window, similarity, warp_image, warp_labels

MAX_ENLARGED = 4.0  # beyond, a face holds too little identity to learn from
MIN_INTEROCULAR = 8.0  # pixels
PASTE_TRIES = 8
SCRAMBLED_FROM = 20.0  # pixels; what makes a smaller face one is hardly more than its colours

T = TypeVar("T")


@dataclass(frozen=True)
class SceneConfig:
    """How scenes are composed. The four shares need not sum to one; `mosaic=0` closes the mosaic."""

    batch: int = 16
    sides: tuple[int, ...] = (320,)  # multiples of 32; each batch draws one
    photo: float = 0.45
    mosaic: float = 0.15
    paste: float = 0.3
    plain: float = 0.1
    paste_on_photo: float = 0.4  # of pasted scenes, the part whose background holds faces of its own
    aim: float = 0.6  # how often a photo is framed for one of its faces rather than as a whole
    smallest_face: float = 14.0  # pixels, when framed for a face or pasted
    largest_face: float = 1.2  # of the frame's side
    photo_scales: tuple[float, float] = (0.7, 3.5)  # otherwise: times the scale at which the photo just fits
    max_pasted: int = 9
    decoys: float = 0.6  # of what is pasted, the part that is no face
    max_enlarged: float = 4.0  # pixels per pixel of the original photo
    rotation: float = 8.0  # degrees, standard deviation of those that are about upright
    tilted: float = 0.15  # share turned by up to 70 degrees either way
    any_way: float = 0.35  # share turned by anything
    cover: float = 0.15  # share of the faces that something is put in front of
    augment: bool = True  # colour, blur, noise, JPEG


@dataclass(frozen=True, slots=True)
class Scene:
    """A composed picture, RGB (S, S, 3) uint8, and its faces."""

    image: Array
    labels: Labels

    @property
    def identity_ok(self) -> Array:
        """(M,) bool: all landmarks in the frame, eyes far enough apart, not blown up from a few pixels."""
        labels = self.labels
        interocular = np.linalg.norm(labels.landmarks[:, 1] - labels.landmarks[:, 0], axis=-1)
        ok: Array = labels.known.all(1) & (labels.enlarged <= MAX_ENLARGED) & (interocular >= MIN_INTEROCULAR)
        return ok


def compose(photo: Photo, pool: ScenePool, config: SceneConfig, side: int, rng: np.random.Generator) -> Scene:
    """One scene of the kind that the shares of `config` let `rng` choose; `photo` is its first photo."""
    shares = np.array([config.photo, config.mosaic, config.paste, config.plain])
    kind = ("photo", "mosaic", "paste", "plain")[rng.choice(4, p=shares / shares.sum())]
    frame = (0, 0, side, side)
    if kind == "mosaic":
        scene = _mosaic(photo, pool, config, side, rng)
    elif kind == "photo" or (kind == "paste" and rng.random() < config.paste_on_photo):
        scene = _framed(photo, config, frame, rng)
    else:
        scene = _framed(_pick(pool.negatives, rng), config, frame, rng)
    if kind == "paste":
        scene = _pasted(scene, pool, config, rng)
    if config.cover:
        background = photo_pixels(_pick(pool.negatives, rng))
        image = covered(
            scene.image, scene.labels.landmarks, scene.labels.known, background, config.cover, rng
        )
        scene = Scene(image, scene.labels)
    if not config.augment:
        return scene
    pipeline = pixel_augmentation()
    pipeline.set_random_seed(int(rng.integers(2**31)))
    return Scene(pipeline(image=scene.image)["image"], scene.labels)


def whole_photo(photo: Photo, side: int, turn: int = 0) -> Scene:
    """The photo as the predictor sees it, for validation: shrunk to `side`, padded right and below.

    turn: degrees, a multiple of 90, by which it is turned.
    """
    image = photo_pixels(photo)
    scale = min(1.0, side / max(image.shape[:2]))
    matrix = similarity(scale, turn, False, np.zeros(2), np.zeros(2))
    corners = np.array([(0, 0), (1, 0), (0, 1), (1, 1)]) * image.shape[1::-1] @ matrix[:, :2].T
    matrix[:, 2] = -corners.min(0)
    frame = (0, 0, side, side)
    return Scene(warp_image(image, matrix, frame), warp_labels(photo.labels, matrix, frame))


@lru_cache
def pixel_augmentation() -> A.Compose:
    """What cameras, networks and editors do to pixels, leaving every face where it is. About 1 ms at 320²."""
    return A.Compose(
        [
            A.ColorJitter(
                brightness=(0.7, 1.3), contrast=(0.75, 1.25), saturation=(0.7, 1.3), hue=(-0.03, 0.03)
            ),
            A.RandomGamma(gamma_limit=(60, 160), p=0.2),
            A.PlanckianJitter(temperature_limit=(4000, 9000), p=0.15),  # lamps of other colours
            A.ToGray(p=0.08),
            A.OneOf(
                [
                    A.GaussianBlur(blur_limit=0, sigma_limit=(0.3, 1.5)),
                    A.MotionBlur(blur_limit=(3, 7)),
                    A.Downscale(scale_range=(0.4, 0.8)),
                ],
                p=0.2,
            ),
            A.GaussNoise(std_range=(0.01, 0.06), noise_scale_factor=0.5, p=0.12),
            A.ImageCompression(quality_range=(35, 90), p=0.25),
        ]
    )


def _framed(photo: Photo, config: SceneConfig, window: Window, rng: np.random.Generator) -> Scene:
    """A photo scaled, turned, perhaps mirrored, put into a window; labels count from the scene's corner."""
    image, boxes = photo_pixels(photo), photo.labels.boxes
    corner = np.array(window[:2])
    extent = np.array(window[2:]) - corner
    size = np.array([image.shape[1], image.shape[0]])
    degrees, mirror = _roll(config, rng), bool(rng.random() < 0.5)
    linear = similarity(1.0, degrees, mirror, np.zeros(2), np.zeros(2))[:, :2]
    fit = (extent / (np.abs(linear) @ size)).min()
    if len(boxes) and rng.random() < config.aim:
        # half of the time the largest: a face drawn from a crowd is small, and cannot be made large sharply
        largest = boxes[(boxes[:, 2:] - boxes[:, :2]).prod(1).argmax()]
        box: Array = largest if rng.random() < 0.5 else _pick(boxes, rng)
        source = (box[:2] + box[2:]) / 2
        wanted = _log_uniform(rng, config.smallest_face, config.largest_face * extent.min())
        scale = max(wanted / _face_size(box), fit * config.photo_scales[0])
    else:
        source = size * rng.random(2)
        scale = fit * _log_uniform(rng, *config.photo_scales)
    scale = min(scale, config.max_enlarged)

    # show no more emptiness beside the photo than there must be
    reach = scale * (np.array([(0, 0), (1, 0), (0, 1), (1, 1)]) * size - source) @ linear.T
    ends = extent - reach.max(0), -reach.min(0)
    target = np.clip(extent * rng.uniform(0.1, 0.9, 2), np.minimum(*ends), np.maximum(*ends))
    matrix = similarity(scale, degrees, mirror, source, corner + target)
    fill = tuple(int(level) for level in rng.integers(0, 256, 3)) if rng.random() < 0.5 else (0, 0, 0)
    return Scene(warp_image(image, matrix, window, fill), warp_labels(photo.labels, matrix, window))


def _mosaic(photo: Photo, pool: ScenePool, config: SceneConfig, side: int, rng: np.random.Generator) -> Scene:
    """Four photos around a point near the middle."""
    image, labels = np.empty((side, side, 3), np.uint8), Labels.none()
    x, y = (int(middle) for middle in side * rng.uniform(0.3, 0.7, 2))
    windows = ((0, 0, x, y), (x, 0, side, y), (0, y, x, side), (x, y, side, side))
    photos = [photo, *(_pick(pool.photos, rng) for _ in range(3))]
    for window, tile_photo in zip(windows, photos, strict=True):
        tile = _framed(tile_photo, config, window, rng)
        image[window[1] : window[3], window[0] : window[2]] = tile.image
        labels = labels + tile.labels
    return Scene(image, labels)


def _pasted(scene: Scene, pool: ScenePool, config: SceneConfig, rng: np.random.Generator) -> Scene:
    """The scene with 1 to `max_pasted` crops pasted where they hide no face that is there already.

    Some are decoys: of a face's size and outline, but parts of photos without faces, or faces whose parts
    have changed places. Without them whatever is round and stands out (a wheel, a medal) is a face.
    """
    image, labels = scene.image.copy(), scene.labels
    side = len(image)
    count = int(_log_uniform(rng, 1, config.max_pasted + 1))  # few more often than many: they can be large
    for _ in range(count):
        crop, face = pool.crops.get(int(rng.integers(len(pool.crops))))
        box = face.boxes[0]
        largest = max(config.smallest_face * 2, config.largest_face * side / np.sqrt(count))
        size = _log_uniform(rng, config.smallest_face, largest)
        if rng.random() < config.decoys:
            skin = size > SCRAMBLED_FROM and rng.random() < 0.5
            crop = scrambled(crop, rng) if skin else part(_pick(pool.negatives, rng), len(crop), rng)
            face = Labels.none()
        scale = size / _face_size(box)
        scale = min(scale, config.max_enlarged / face.enlarged.max(initial=1.0))
        mask, region = mask_of(crop, box, rng)
        mirror, degrees = bool(rng.random() < 0.5), _roll(config, rng)
        for _ in range(PASTE_TRIES):
            target = rng.uniform(0, side, 2)
            matrix = similarity(scale, degrees, mirror, (box[:2] + box[2:]) / 2, target)
            window = window_of(region, matrix, side)
            if window is not None and not hides(window, labels.boxes):
                blend(image, crop, mask, matrix, window)
                labels = labels + warp_labels(face, matrix, (0, 0, side, side))
                break
    return Scene(image, labels)


def _roll(config: SceneConfig, rng: np.random.Generator) -> float:
    """By how many degrees a photo is turned in its plane."""
    kind, about = rng.random(), rng.normal(0, config.rotation)
    if kind < config.tilted:
        return float(rng.uniform(-70, 70))
    if kind < config.tilted + config.any_way:
        return float(rng.uniform(-180, 180))
    return float(about)


def _face_size(box: Array) -> float:
    return float(np.sqrt((box[2:] - box[:2]).prod()))


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _pick(items: Sequence[T] | Array, rng: np.random.Generator) -> T:
    chosen: T = items[int(rng.integers(len(items)))]
    return chosen
