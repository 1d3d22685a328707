"""A run's settings: one dataclass, read from TOML, changed by key=value; an unknown key is an error."""

import difflib
import sys
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from oneshot.errors import OneShotError
from oneshot.models.config import KINDS, SIZES, NetworkConfig
from oneshot.models.squeezefaceposenet import FORMS
from oneshot.models.weights import read_info, shape_in
from oneshot.training.precision import Precision

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Stage = Literal["identity", "detection", "joint", "distil"]


@dataclass(frozen=True)
class OptimiserConfig:
    """How weights learn.

    Attributes:
        lr: of the front (backbone, thinning, bridge, refinement); lr_deep: of the recogniser's deep half
            (of SqueezeFacePoseNet: what comes after fire4), which is frozen for the first `freeze_deep` of
            the steps; lr_head: of the detection head and of fire4-9, which serve it alone.
        freeze_trunk: leave the backbone as it is, but for the linear filters that identity alone reads; stage
            1 finds the same faces then.
        muon: how many times `lr` and `lr_head` Muon gives the weights that mix channels; 0 is AdamW for all.
        muon_deep: the same of `lr_deep`, for a deep half that has lost blocks and so has much to learn.
        warmup: steps of linear warm-up; then a cosine to zero.
    """

    lr: float = 1e-3
    lr_deep: float = 2e-4
    lr_head: float = 2e-3
    freeze_trunk: bool = False
    freeze_deep: float = 0.3
    muon: float = 0.0
    muon_deep: float = 0.0
    weight_decay: float = 0.02
    warmup: int = 100
    ema: float = 0.998


@dataclass(frozen=True)
class IdentityConfig:
    """Stage 1's crops and losses.

    Attributes:
        batch: crops a step.
        canvases, scales: sides of the views in one step, and the range of face scales (1 = the 112-pixel
            template) for each; a step's batch is split evenly among them.
        sharp_below: views whose faces are all smaller than this share of the template are to be described as
            the crop itself is, which shows more than they do; 0: each as the teacher describes it.
        own_landmarks: share of the faces, once `own_landmarks_from` of the steps have passed, that are
            aligned by the network's own refined landmarks instead of the true ones.
        corrections: how often a step corrects its noisy landmarks, each learning to mend what the one before
            left; at run time it is `network.refinements` times.
    """

    batch: int = 96
    canvases: tuple[int, ...] = (64, 96, 128, 160)
    scales: tuple[tuple[float, float], ...] = ((0.22, 0.5), (0.4, 0.85), (0.7, 1.2), (1.0, 1.5))
    sharp_below: float = 0.0
    own_landmarks: float = 0.5
    own_landmarks_from: float = 0.3
    corrections: int = 2
    weight_hint: float = 1.0
    weight_cosine: float = 1.0
    weight_pairs: float = 1.0
    weight_landmarks: float = 0.1
    weight_margin: float = 0.0


@dataclass(frozen=True)
class DetectionConfig:
    """Stage 2's scenes and losses.

    Attributes:
        scenes, sides: composed scenes a step, and the sides (pixels) they may have.
        faces: of one scene, whose landmarks are corrected (in stage 3: which are embedded).
        close_mosaic: share of the steps at the end in which no scene is a mosaic.
        teacher: weights whose detection head is imitated beside the true boxes, as a smaller head's are.
        corrections: as in `IdentityConfig`; stage 3 has that one's.
        weight: of all detection losses together. weight_landmarks: of corrections.
    """

    scenes: int = 8
    sides: tuple[int, ...] = (320,)
    faces: int = 2
    close_mosaic: float = 0.15
    teacher: str | None = None
    corrections: int = 2
    weight: float = 0.3
    weight_landmarks: float = 0.1


@dataclass(frozen=True)
class DistilConfig:
    """SqueezeFacePoseNet's form: "plain", "gdc", "dwc" or "dwc+gdc"."""

    form: str = "plain"


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a run's result: what all stages have, and a table for each kind of setting.

    Attributes:
        stage: "identity" trains on crops with known landmarks, "detection" the head on composed scenes (give
            it optimiser.lr = 0 and optimiser.lr_deep = 0 to leave a trained identity as it is), "joint" both
            together; "distil" is SqueezeFacePoseNet on aligned crops, for the two-stage path.
        data, models: the folders of training data and of the teacher's and ImageNet's weights.
        start: weights to start from (a .safetensors of this project); None starts from ImageNet.
        seed: of everything random. steps: of the optimiser.
        workers: processes that compose scenes; one keeps up with two cores' training, a GPU wants more.
        precision: "bf16" (autocast), "fp32", or "auto", whichever is faster on this machine. A run repeats
            exactly only in one of them. compile: the deep half, the bridge and the teacher by torch.compile,
            which takes a minute and a C++ compiler.
        evaluate_every, checkpoint_minutes: steps between evaluations; minutes between checkpoints.
        network, optimiser, identity, detection, distil: the tables; which of the last three a stage has,
            `TABLES` says.
    """

    stage: Stage = "identity"
    data: str = "data"
    models: str = "models"
    start: str | None = None
    seed: int = 0
    steps: int = 6000
    workers: int = 1
    evaluate_every: int = 500
    checkpoint_minutes: float = 4.0
    device: str = "cpu"
    precision: Precision = "auto"
    compile: bool = False
    network: NetworkConfig = field(default_factory=NetworkConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    identity: IdentityConfig = field(default_factory=IdentityConfig)
    detection: DetectionConfig = field(default_factory=DetectionConfig)
    distil: DistilConfig = field(default_factory=DistilConfig)

    def __post_init__(self) -> None:
        choices = (
            ("stage", self.stage, get_args(Stage)),
            ("precision", self.precision, get_args(Precision)),
            ("distil.form", self.distil.form, tuple(FORMS)),
        )
        for key, value, known in choices:
            if value not in known:
                raise OneShotError(f"{key}={value}: not one of {', '.join(known)}; choose one")


TABLES: dict[Stage, tuple[str, ...]] = {
    "identity": ("network", "optimiser", "identity"),
    "detection": ("network", "optimiser", "detection"),
    "joint": ("network", "optimiser", "identity", "detection"),
    "distil": ("optimiser", "identity", "distil"),
}
"""The tables that mean something in each stage."""

KIND_OF = {
    "optimiser": OptimiserConfig,
    "identity": IdentityConfig,
    "detection": DetectionConfig,
    "distil": DistilConfig,
}


def load_config(path: Path, overrides: list[str]) -> TrainConfig:
    """The config in a TOML file with `key=value` changes (`network.stem=32` reaches inside).

    Raises:
        OneShotError: no such file, broken TOML, an unknown key (the nearest known one is named), or a table
            that means nothing in this stage.
    """
    return complete(change(read_table(path), overrides))


def complete(table: dict[str, Any]) -> TrainConfig:
    """The config that a TOML file's table says.

    What it says of the network (`[network]`) changes the shape that `size` names there (one of `SIZES`), or
    else that of the weights at `start`, or else `BASE`.

    Raises:
        OneShotError: as `load_config` says.
    """
    stage, said = table.get("stage", "identity"), dict(table.get("network", {}))
    for name in ({"network", *KIND_OF} & table.keys()) - set(TABLES.get(stage, table)):
        raise OneShotError(f"[{name}] means nothing in stage {stage}; leave it out")
    if size := said.pop("size", None):
        if size not in SIZES:
            raise OneShotError(f"network.size={size}: give one of {', '.join(SIZES)}")
        shape = SIZES[size]
    elif table.get("start") and stage != "distil":
        start = Path(table["start"])
        shape = shape_in(start, read_info(start))
    else:
        shape = NetworkConfig()
    return from_dict({**table, "network": _changed(shape.as_dict(), said)})


def _changed(shape: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    """A network's table with changes; those of its identity head begin anew where they name another kind."""
    identity = dict(said.get("identity", {}))
    if identity.get("kind", shape["identity"]["kind"]) == shape["identity"]["kind"]:
        identity = shape["identity"] | identity
    return shape | said | {"identity": identity}


def read_table(path: Path) -> dict[str, Any]:
    """A TOML file's table.

    Raises:
        OneShotError: no such file, or broken TOML.
    """
    try:
        return tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise OneShotError(f"{path}: no such config; see the ones in scripts/configs/") from None
    except tomllib.TOMLDecodeError as error:
        raise OneShotError(f"{path}: not valid TOML ({error}); fix that line") from None


def change(table: dict[str, Any], changes: list[str]) -> dict[str, Any]:
    """A table with `key=value` changes; `a.b=value` reaches inside. OneShotError: one is not written so."""
    for item in changes:
        key, equals, value = item.partition("=")
        if not equals:
            raise OneShotError(f"{item!r}: changes are written key=value, for example steps=1000")
        try:
            parsed = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            parsed = value
        for part in reversed(key.split(".")):
            parsed = {part: parsed}
        table = merged(table, parsed)
    return table


def merged(table: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """A table with changes; those of a table inside leave the rest of that as it is."""
    result = dict(table)
    for key, value in changes.items():
        inside = isinstance(value, dict) and isinstance(table.get(key), dict)
        result[key] = merged(table[key], value) if inside else value
    return result


def from_dict(table: dict[str, Any]) -> TrainConfig:
    """The config that `asdict` (or TOML) wrote."""
    table = dict(table)
    network = dict(table.pop("network"))
    identity = dict(network.pop("identity"))
    kind = identity.pop("kind")
    if kind not in KINDS:
        raise OneShotError(f"network.identity.kind={kind}: give one of {', '.join(KINDS)}")
    head = checked(KINDS[kind], identity, "network.identity.")
    shape = replace(checked(NetworkConfig, network, "network."), identity=head)
    tables = {n: checked(kind, dict(table.pop(n, {})), f"{n}.") for n, kind in KIND_OF.items()}
    return replace(checked(TrainConfig, table), network=shape, **tables)


def to_dict(config: TrainConfig) -> dict[str, Any]:
    """Plain values, for JSON and the checkpoint."""
    return {**asdict(config), "network": config.network.as_dict()}


def checked(kind: type[Any], table: dict[str, Any], prefix: str = "") -> Any:
    """A dataclass made of a table, lists as tuples; for an unknown key OneShotError names the nearest."""
    known = {f.name for f in fields(kind)}
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1, 0.0)
            raise OneShotError(f"unknown setting {prefix}{key}; the nearest known one is {prefix}{near[0]}")
    return kind(**{k: _tuples(v) for k, v in table.items()})


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list | tuple) else value
