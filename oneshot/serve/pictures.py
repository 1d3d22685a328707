"""The pictures of a request, however they were sent, and whether they may be decoded."""

import base64
import binascii
import json
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from oneshot.files import shown
from oneshot.media.headers import header_size
from oneshot.media.kinds import HEAD, kind_of
from oneshot.serve.fetch import Fetcher
from oneshot.serve.problems import Problem
from oneshot.serve.settings import Settings

KINDS = ("jpeg", "png", "webp", "avif", "heif", "gif", "bmp")
"""Pictures that are taken from strangers: what cameras, phones and browsers send."""

SCANS = 200
LARGE_SCANS = 16
"""Of a JPEG at most, and of one with all the pixels that are allowed; a progressive one has about ten. Each
is work for all its pixels: a few kilobytes could keep the decoder busy for hours."""

FIELD_BYTES = 1 << 16
FIELDS = 20


@dataclass(frozen=True, slots=True)
class Form:
    """What came with a request: pictures by their names, and texts by theirs."""

    pictures: list[tuple[str, bytes]] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """A text that must be there.

        Raises:
            Problem: 422, it is not.
        """
        if not self.texts.get(name):
            raise Problem(422, f"{name}: is missing; send it as a field of the form, beside the picture")
        return self.texts[name]


class _InMemory(MultiPartParser):
    """Faces never lie in a temporary file."""

    spool_max_size = 1 << 40


async def form_of(request: Request, settings: Settings, fetcher: Fetcher) -> Form:
    """The pictures and texts of a request, which is a form, JSON, or a single picture.

    Raises:
        Problem: 415, it is none of these; 422, no picture, too many, or it is damaged; 403, as Fetcher.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        form = await _from_parts(request)
    elif kind == "application/json":
        form = await _from_json(await request.body(), fetcher, settings)
    elif kind.startswith("image/") or kind == "application/octet-stream":
        form = Form([("the picture", await request.body())])
    else:
        raise Problem(415, "send a form (multipart/form-data), JSON or a picture (image/*)")
    if not form.pictures:
        raise Problem(422, "no picture; send it as the form's field image")
    if len(form.pictures) > settings.max_images:
        raise too_many(settings.max_images)
    return form


def too_many(most: int) -> Problem:
    """More pictures than one request may have."""
    return Problem(422, f"more than {most} pictures in one request; send several requests")


async def _from_parts(request: Request) -> Form:
    async def stream() -> AsyncIterator[bytes]:
        async for chunk in request.stream():
            yield chunk

    parser = _InMemory(
        request.headers,
        stream(),  # type: ignore[arg-type]
        max_files=1000,
        max_fields=FIELDS,
        max_part_size=FIELD_BYTES,
    )
    try:
        parts = await parser.parse()
    except MultiPartException as error:
        raise Problem(422, f"the form cannot be read ({error.message.rstrip('.')}); send it again") from None
    except KeyError:
        raise Problem(422, "the form cannot be read (no boundary); send it again") from None
    form = Form()
    for name, value in parts.multi_items():
        if isinstance(value, UploadFile):
            form.pictures.append((_label(value.filename, len(form.pictures)), await value.read()))
            await value.close()
        else:
            form.texts[name] = value
    return form


async def _from_json(body: bytes, fetcher: Fetcher, settings: Settings) -> Form:
    try:
        facts = json.loads(body)
        images = facts.pop("images")
        if not isinstance(images, list):
            raise TypeError
    except (ValueError, RecursionError, LookupError, AttributeError, TypeError):
        raise Problem(422, 'want JSON such as {"images": [{"base64": "..."}]}') from None
    if len(images) > settings.max_images:
        raise too_many(settings.max_images)
    texts = {name: v if isinstance(v, str) else json.dumps(v) for name, v in facts.items() if v is not None}
    form, left = Form(texts=texts), settings.max_bytes
    for i, image in enumerate(images):
        data = await _sent(image, fetcher, left)
        left -= len(data)
        form.pictures.append((_label(None, i), data))
    return form


async def _sent(image: Any, fetcher: Fetcher, most: int) -> bytes:
    if isinstance(image, dict) and isinstance(image.get("base64"), str):
        text = re.sub(r"^data:[\w/+.-]*;base64,", "", image["base64"])
        try:
            return base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise Problem(422, "a picture's base64 is damaged; send it again") from None
    if isinstance(image, dict) and isinstance(image.get("url"), str):
        return await fetcher.fetch(image["url"], most)
    raise Problem(422, 'a picture in JSON is {"base64": "..."} or {"url": "..."}')


def _label(name: str | None, number: int) -> str:
    """What a picture is called in messages: the end of its file's name, or its place."""
    return shown(re.split(r"[/\\]", name)[-1][-80:]) if name else f"picture {number + 1}"


def check_pictures(pictures: Sequence[tuple[str, bytes]], max_pixels: int) -> None:
    """Whether pictures may be decoded, by what they say of themselves.

    Args:
        pictures: names and bytes.
        max_pixels: of all of them together.

    Raises:
        Problem: 413, they have more pixels; 422, of a kind that is not taken, or a JPEG that takes too long.
    """
    together = 0
    for name, data in pictures:
        kind = kind_of(data[:HEAD])
        if kind not in KINDS:
            raise Problem(422, f"{name}: not a picture of a kind that is taken; send {', '.join(KINDS[:-1])}")
        width, height = header_size(data) or (0, 0)  # damaged, as decoding it will say
        together += width * height
        if together > max_pixels:
            raise Problem(
                413, f"{name}: with its {width}x{height} pixels more than {max_pixels:,}; send it smaller"
            )
        most = min(SCANS, LARGE_SCANS * max_pixels // max(width * height, 1))
        if kind == "jpeg" and data.count(b"\xff\xda") > most:  # within a scan this pair cannot occur
            raise Problem(422, f"{name}: a JPEG of more than {most} scans; save it anew")
