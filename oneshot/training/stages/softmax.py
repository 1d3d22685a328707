"""SqueezeFacePoseNet's own training: softmax identification on folders of people (arXiv:2007.08566, 4).

SGD with momentum, a rate that falls when the validation loss no longer does, and new layers that learn ten
times faster at the first rate. Several data sets are learned one after the other (double fine-tuning: first
many people, then many photos of each), each with a classifier of its own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional as F

from oneshot.errors import OneShotError
from oneshot.inference.crop import SIDE, window_crop
from oneshot.media.images import pictures_in, read_image
from oneshot.models.squeezefaceposenet import DESCRIPTOR, FORMS, SqueezeFacePoseNet
from oneshot.models.weights import save_weights
from oneshot.training.checkpoint import load_checkpoint, save_checkpoint
from oneshot.training.log import RunLog
from oneshot.training.start import start_squeezefaceposenet


@dataclass(frozen=True)
class SoftmaxConfig:
    """Everything that decides a run; the defaults are the paper's.

    Attributes:
        data: folders with one folder of face photos a person, learned one after the other.
        random_windows: for each of `data`, whether a photo is a widened box, of which a random window is
            shown, or an aligned face, which is only scaled.
        form: "plain", "gdc", "dwc" or "dwc+gdc".
        models: folder of ImageNet's weights; start: a .safetensors to start from instead.
        rates: of learning, one after the other; new_layers: times the first one, for layers without a start.
        patience: epochs without a lower validation loss that end a rate. epochs: the most at one rate.
        least: people with fewer photos are dropped. validation: share of each person's photos, at least one.
        weight_decay: MATLAB's default, which the paper does not change.
    """

    data: tuple[str, ...] = ("ms1m", "vggface2")
    random_windows: tuple[bool, ...] = (False, True)
    form: str = "plain"
    models: str = "models"
    start: str | None = None
    rates: tuple[float, ...] = (0.01, 0.005, 0.001, 0.0001)
    new_layers: float = 10.0
    momentum: float = 0.9
    weight_decay: float = 1e-4
    batch: int = 128
    patience: int = 1
    epochs: int = 30
    least: int = 70
    validation: float = 0.02
    dropout: float = 0.5
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise OneShotError(f"form={self.form}: no such form; choose from {', '.join(FORMS)}")
        if len(self.data) != len(self.random_windows) or not self.data:
            raise OneShotError("random_windows: give one value for each folder of data")


class Classifier(nn.Module):
    """Table 2's end: batch-norm, dropout and a fully connected layer, (N, 1000) to (N, people)."""

    def __init__(self, people: int, dropout: float):
        super().__init__()
        self.norm = nn.BatchNorm1d(DESCRIPTOR)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(DESCRIPTOR, people)

    def forward(self, descriptors: Tensor) -> Tensor:
        """Logits (N, people)."""
        return self.fc(self.dropout(self.norm(descriptors)))


@dataclass(frozen=True)
class Photos:
    """Files and whose they are, as numbers from 0."""

    paths: list[Path]
    people: list[int]

    def __len__(self) -> int:
        return len(self.paths)


def load_people(folder: Path, least: int, validation: float, seed: int) -> tuple[Photos, Photos, int]:
    """Training and validation photos, and the number of people.

    Raises:
        OneShotError: no such folder, or fewer than two people with enough photos.
    """
    if not folder.is_dir():
        raise OneShotError(f"{folder}: no such folder; give one with a folder of photos a person")
    folders = sorted(p for p in folder.iterdir() if p.is_dir())
    people = [photos for photos in map(pictures_in, folders) if len(photos) >= max(least, 2)]
    if len(people) < 2:
        raise OneShotError(
            f"{folder}: {len(people)} people with {max(least, 2)} photos or more; lower least or add photos"
        )
    train, held = Photos([], []), Photos([], [])
    for who, photos in enumerate(people):
        order = np.random.default_rng((seed, who)).permutation(len(photos))
        apart = min(max(1, round(validation * len(photos))), len(photos) - 1)
        for part, rows in ((held, order[:apart]), (train, order[apart:])):
            part.paths.extend(photos[i] for i in rows)
            part.people.extend([who] * len(rows))
    return train, held, len(people)


def batches(
    photos: Photos, size: int, random_window: bool, rng: np.random.Generator | None
) -> Iterator[tuple[Tensor, Tensor]]:
    """RGB faces (B, 3, 113, 113), 0..255, and labels (B,): shuffled by `rng`, or in order without one."""
    order = np.arange(len(photos)) if rng is None else rng.permutation(len(photos))
    # A last batch of one has no deviation for batch-norm to learn from.
    ends = range(0, len(order) - (rng is not None), size)
    for rows in (order[start : start + size] for start in ends):
        faces = [_face(read_image(photos.paths[i]), random_window, rng) for i in rows]
        rgb = torch.from_numpy(np.stack(faces)[..., ::-1].copy()).permute(0, 3, 1, 2).float()
        yield rgb, torch.tensor([photos.people[i] for i in rows])


def _face(image: Any, random_window: bool, rng: np.random.Generator | None) -> Any:
    return (
        window_crop(image, rng)
        if random_window
        else cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    )


@dataclass
class Plateau:
    """Which rate it is: the next one as soon as the validation loss has not fallen for `patience` epochs."""

    patience: int
    epochs: int
    rate: int = 0
    best: float = float("inf")
    waited: int = 0
    spent: int = 0

    def update(self, loss: float) -> None:
        """Take in an epoch's validation loss."""
        self.spent += 1
        self.waited = 0 if loss < self.best else self.waited + 1
        self.best = min(self.best, loss)
        if self.waited >= self.patience or self.spent >= self.epochs:
            self.rate, self.waited, self.spent = self.rate + 1, 0, 0


def start(config: SoftmaxConfig) -> tuple[SqueezeFacePoseNet, set[str]]:
    """The network to begin with, and the names of its parameters that are new: without a value from there."""
    earlier = Path(config.start) if config.start else None
    net = start_squeezefaceposenet(FORMS[config.form], Path(config.models), earlier, config.dropout)
    if earlier:
        return net, set()
    parts = [part for part, used in (("expand3x3", net.config.dwc), ("gdc", net.config.gdc)) if used]
    return net, {name for name, _ in net.named_parameters() if any(part in name for part in parts)}


def train(config: SoftmaxConfig, out: Path, resume: bool, console: Console) -> Path:
    """Learn one data set after the other; returns the path of the last one's weights.

    Raises:
        OneShotError: the data or the starting weights are missing, a loss is not finite, or the checkpoint
            belongs to another config.
    """
    torch.manual_seed(config.seed)
    device = torch.device(config.device)
    net, new = start(config)
    net.to(device)
    state: dict[str, Any] = {"phase": 0}
    out.mkdir(parents=True, exist_ok=True)
    if resume:
        state = load_checkpoint(out)
        if state["config"] != repr(asdict(config)):
            raise OneShotError(
                f"{out}: its checkpoint is of another config; resume with the one it started with"
            )
        net.load_state_dict(state["net"])
    log = RunLog(out, state.get("epochs", 0))
    epochs = state.get("epochs", 0)
    for phase in range(state["phase"], len(config.data)):
        window = config.random_windows[phase]
        known, held, people = load_people(
            Path(config.data[phase]), config.least, config.validation, config.seed
        )
        classifier = Classifier(people, config.dropout).to(device)
        optimiser = _optimiser(net, classifier, new if phase == 0 else set(), config)
        plateau = Plateau(config.patience, config.epochs)
        if phase == state["phase"] and "optimiser" in state:
            classifier.load_state_dict(state["classifier"])
            optimiser.load_state_dict(state["optimiser"])
            plateau = Plateau(**state["plateau"])
        while plateau.rate < len(config.rates):
            _set_rates(optimiser, config, plateau.rate)
            rng = np.random.default_rng((config.seed, epochs))
            torch.manual_seed((config.seed << 20) + epochs)  # dropout's, so that a resumed run goes on alike
            trained = _epoch(net, classifier, optimiser, batches(known, config.batch, window, rng), device)
            tested = _test(net, classifier, batches(held, config.batch, window, None), device)
            epochs += 1
            figures = {"loss": trained, **tested, "rate": config.rates[plateau.rate]}
            log.write(epochs, "evaluation", figures)
            console.print(f"{config.data[phase]}, epoch {epochs}: {figures}")
            plateau.update(tested["validation_loss"])
            parts: dict[str, Any] = {"net": net, "classifier": classifier, "optimiser": optimiser}
            fixed = {"config": repr(asdict(config)), "phase": phase, "epochs": epochs}
            saved = {name: part.state_dict() for name, part in parts.items()}
            save_checkpoint(out, {**fixed, **saved, "plateau": asdict(plateau)})
        save_weights(
            out / "weights.safetensors", net, {"data": config.data[phase], "epochs": epochs}, half=False
        )
    log.close()
    return out / "weights.safetensors"


def _optimiser(
    net: nn.Module, classifier: nn.Module, new: set[str], config: SoftmaxConfig
) -> torch.optim.Optimizer:
    own = dict(net.named_parameters())
    groups = [
        {"params": [p for name, p in own.items() if name not in new], "new": False},
        {"params": [*(own[name] for name in sorted(new)), *classifier.parameters()], "new": True},
    ]
    decay = config.weight_decay
    return torch.optim.SGD(groups, lr=config.rates[0], momentum=config.momentum, weight_decay=decay)


def _set_rates(optimiser: torch.optim.Optimizer, config: SoftmaxConfig, rate: int) -> None:
    for group in optimiser.param_groups:
        faster = config.new_layers if group["new"] and rate == 0 else 1.0
        group["lr"] = config.rates[rate] * faster


def _epoch(
    net: nn.Module,
    classifier: nn.Module,
    optimiser: torch.optim.Optimizer,
    data: Iterator[tuple[Tensor, Tensor]],
    device: torch.device,
) -> float:
    net.train()
    classifier.train()
    losses = []
    for faces, labels in data:
        loss = F.cross_entropy(classifier(net(faces.to(device))), labels.to(device))
        if not torch.isfinite(loss):
            raise OneShotError("the loss is not finite; lower rates, then start again")
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    return _mean(losses)


@torch.no_grad()
def _test(
    net: nn.Module, classifier: nn.Module, data: Iterator[tuple[Tensor, Tensor]], device: torch.device
) -> dict[str, float]:
    net.eval()
    classifier.eval()
    losses, right = [], []
    for faces, labels in data:
        logits = classifier(net(faces.to(device))).cpu()
        losses.extend(F.cross_entropy(logits, labels, reduction="none").tolist())
        right.extend((logits.argmax(1) == labels).tolist())
    return {"validation_loss": _mean(losses), "accuracy": 100 * _mean(right)}


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
