"""The photos of a collection described on the machines of a Ray cluster, as describe.py does it on one."""

import logging
import os
import platform
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from oneshot.album.describe import Described, here
from oneshot.album.rows import Row, face_fields
from oneshot.errors import OneShotError
from oneshot.inference.predictor import OneShot

BATCH = 32
"""Photos that are given to an actor, and come back, together."""


def on_ray(
    address: str,
    model: OneShot,
    weights: Path | None,
    threads: int | None,
    folder: Path,
    photos: Sequence[str],
) -> Described:
    """Describe photos on a Ray cluster, whose machines see the same folder and have oneshot-face installed.

    Args:
        address: of a cluster; "auto" is the one that this machine belongs to, "local" starts one on it. A Ray
            that this process uses already is taken as it is.
        model: the network as it is here.
        weights: its file, at the same place on all machines; None is what is shipped with the package.
        threads: CPU threads of an actor; None is one. There are as many actors as the cluster has cores for.

    Raises:
        OneShotError: Ray is not installed or not found, or a machine has other weights.
    """
    if not photos:
        return iter(())
    ray = _ray()
    started = not ray.is_initialized()
    if started:
        _start(ray, address)
    job = _job(ray, model, weights, threads or 1, folder.resolve(), photos)
    return _results(ray, address, job, started)


def _job(
    ray: Any, model: OneShot, weights: Path | None, threads: int, folder: Path, photos: Sequence[str]
) -> Any:
    """A Ray dataset: the tables that the actors will make."""
    blocks = -(-len(photos) // BATCH)
    cores = int(ray.cluster_resources().get("CPU", 1))
    dataset = ray.data.from_items(list(photos), override_num_blocks=blocks).map_batches(
        Describer,
        fn_constructor_args=(
            folder,
            weights and weights.resolve(),
            model.settings | {"threads": threads},
            _fingerprint(model),
        ),
        compute=ray.data.ActorPoolStrategy(size=max(1, min(cores // threads, blocks))),
        num_cpus=threads,
        batch_size=BATCH,
        batch_format="pyarrow",
    )
    dataset.context.execution_options.preserve_order = True
    dataset.context.enable_progress_bars = False
    return dataset


def _results(ray: Any, address: str, job: Any, started: bool) -> Described:
    try:
        for table in job.iter_batches(batch_size=None, batch_format="pyarrow"):
            yield from _photos(table.to_pylist())
    except ray.exceptions.RayError as error:
        # The last line of the actor's traceback; one of our own errors says by itself what to do.
        reason = str(error).strip().splitlines()[-1]
        ours = f"{OneShotError.__module__}.{OneShotError.__name__}: "
        if ours in reason:
            raise OneShotError(reason.split(ours, 1)[1]) from None
        raise OneShotError(f"{address}: the Ray job failed ({reason}); run it again, it goes on") from error
    finally:
        if started:
            ray.shutdown()


class Describer:
    """What a Ray actor is: the model, loaded once, to which batches of photos come."""

    def __init__(self, folder: Path, weights: Path | None, settings: Mapping[str, Any], fingerprint: str):
        self.folder = folder
        self.model = OneShot(weights, **settings)
        if _fingerprint(self.model) != fingerprint:
            raise OneShotError(
                f"{platform.node()}: has other weights than the machine that started the job; "
                "install the same oneshot-face there"
            )

    def __call__(self, batch: Any) -> Any:
        """A table with a row a face, and one for a photo without; `batch` has the photos as column "item"."""
        import pyarrow as pa

        rows: list[Row] = []
        for photo, content, found in here(self.model, self.folder, batch["item"].to_pylist()):
            about = {"photo": photo, "content": content}
            if isinstance(found, OneShotError):
                rows.append({**about, "damage": str(found)})
            else:
                rows += [{**about, **face} for face in found or [{}]]
        words = [(name, pa.string()) for name in ("photo", "content", "damage")]
        return pa.Table.from_pylist(rows, schema=pa.schema([*words, *face_fields(pa)]))


def _photos(rows: Sequence[Row]) -> Described:
    """What a Describer made tables of."""
    photos: dict[tuple[str, str], list[Row] | OneShotError] = {}
    for row in rows:
        key, damage = (row.pop("photo"), row.pop("content")), row.pop("damage")
        if damage is not None:
            photos[key] = OneShotError(damage)
            continue
        faces = photos.setdefault(key, [])
        if row["face"] is not None and isinstance(faces, list):
            faces.append(row)
    for (photo, content), found in photos.items():
        yield photo, content, found


def _fingerprint(model: OneShot) -> str:
    return str(model.info.get("weights_sha256", ""))


def _ray() -> Any:
    # Nobody else is told that somebody looks at photos: Ray would report its use.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Its core writes to the terminal, whatever it is told later.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
        import ray.data
    except ModuleNotFoundError:
        raise OneShotError(
            "indexing on several machines needs Ray; pip install 'oneshot-face[ray]'"
        ) from None
    return ray


def _start(ray: Any, address: str) -> None:
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    dashboard = (
        {"include_dashboard": False} if address == "local" else {}
    )  # for a cluster, it has been decided
    try:
        if ":" in address:  # Ray would try for a minute
            host, _, port = address.rpartition(":")
            socket.create_connection((host, int(port)), 5).close()
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **dashboard)
    except (OSError, ValueError, RuntimeError) as error:
        raise OneShotError(
            f"{address}: no Ray cluster there ({type(error).__name__}); give HOST:PORT, auto or local"
        ) from error
