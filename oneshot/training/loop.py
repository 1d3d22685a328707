"""The loop that both stages share: optimise, average, log, evaluate, checkpoint, resume."""

import time
from pathlib import Path
from typing import Protocol, TypeVar

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn

from oneshot.errors import OneShotError
from oneshot.models.weights import Network, save_weights
from oneshot.training.checkpoint import load_checkpoint, save_checkpoint
from oneshot.training.config import TrainConfig, to_dict
from oneshot.training.ema import Ema, refresh_statistics
from oneshot.training.log import RunLog
from oneshot.training.optimisers import optimisers, rate_factor

LOG_EVERY = 20
REFRESH = 8
"""Steps, the run's last, whose data gives averaged weights the statistics of their batch-norms."""

Net = TypeVar("Net", bound=Network)
Taught = TypeVar("Taught", bound=Network, contravariant=True)


class Stage(Protocol[Taught]):
    """What a stage gives the loop. All that is random in `losses` follows from the seed and the step.

    `centres` is what the stage itself learns beside the network, and nobody needs afterwards.
    """

    centres: nn.Parameter

    @property
    def images(self) -> int:
        """Crops and scenes of one step, for the speed that is shown."""
        ...

    def losses(self, net: Taught, step: int) -> dict[str, Tensor]:
        """Scalars by name, weighted already; their sum is what is learned."""
        ...

    def evaluate(self, net: Taught) -> dict[str, float]:
        """Figures by name, on what was held out."""
        ...


def train(
    config: TrainConfig, stage: Stage[Net], net: Net, out: Path, resume: bool, console: Console
) -> Path:
    """Run the steps that are left; returns the path of the averaged weights.

    Raises:
        OneShotError: a loss is not finite, or the checkpoint belongs to another config.
    """
    device = torch.device(config.device)
    net.to(device).to(memory_format=torch.channels_last).train()
    centres = stage.centres
    learners = optimisers(net, centres, config)
    ema, step = Ema(net, config.optimiser.ema), 0
    out.mkdir(parents=True, exist_ok=True)
    if resume:
        state = load_checkpoint(out)
        if _shape(state["config"]) != _shape(to_dict(config)):
            raise OneShotError(
                f"{out}: its checkpoint is of another config; resume with the one it started with"
            )
        net.load_state_dict(state["net"])
        ema.net.load_state_dict(state["ema"])
        for learner, its_state in zip(learners, state["optimisers"], strict=True):
            learner.load_state_dict(its_state)
        with torch.no_grad():
            centres.copy_(state["centres"])
        step = int(state["step"])
    log = RunLog(out, step)

    def checkpoint() -> None:
        save_checkpoint(
            out,
            {
                "config": to_dict(config),
                "step": step,
                "net": net.state_dict(),
                "ema": ema.net.state_dict(),
                "optimisers": [learner.state_dict() for learner in learners],
                "centres": centres.detach(),
            },
        )
        save_weights(out / "weights.safetensors", ema.net, {"stage": config.stage, "step": step})

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(*columns, TimeRemainingColumn(), console=console, refresh_per_second=1) as progress:
        bar = progress.add_task(config.stage, total=config.steps, completed=step)
        saved, since, counted = time.monotonic(), time.monotonic(), step
        while step < config.steps:
            for group in (group for learner in learners for group in learner.param_groups):
                group["lr"] = group["rate"] * rate_factor(step, config, group["kind"])
                for parameter in group["params"]:
                    # A frozen part must cost nothing in the backward pass either.
                    parameter.requires_grad_(group["lr"] > 0)
            losses = stage.losses(net, step)
            total = torch.stack(list(losses.values())).sum()
            if not torch.isfinite(total):
                names = ", ".join(k for k, v in losses.items() if not torch.isfinite(v))
                raise OneShotError(f"step {step}: loss {names} is not finite; lower lr and --resume {out}")
            net.zero_grad(set_to_none=True)
            centres.grad = None
            total.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 10.0)
            for learner in learners:
                learner.step()
            ema.update(net, step)
            step += 1
            progress.update(bar, completed=step)
            if step % LOG_EVERY == 0:
                speed = (step - counted) * stage.images / (time.monotonic() - since)
                values = {k: float(v.detach()) for k, v in losses.items()}
                log.write(step, "loss", values)
                log.write(step, "rate", {"images_per_second": speed, "lr": learners[0].param_groups[0]["lr"]})
                text = " ".join(f"{k} {v:.3f}" for k, v in values.items())
                progress.update(bar, description=f"{config.stage} {speed:.0f}/s {text}")
                if not console.is_terminal and step % (5 * LOG_EVERY) == 0:
                    console.print(f"step {step} {speed:.0f}/s {text}")
                since, counted = time.monotonic(), step
            if step % config.evaluate_every == 0 or step == config.steps:
                refresh_statistics(ema.net, stage.losses, range(max(0, config.steps - REFRESH), config.steps))
                figures = stage.evaluate(ema.net)
                log.write(step, "evaluation", figures)
                console.print(f"step {step}: " + " ".join(f"{k} {v:.4g}" for k, v in figures.items()))
                since, counted = time.monotonic(), step
            if time.monotonic() - saved > 60 * config.checkpoint_minutes:
                checkpoint()
                saved = time.monotonic()
    checkpoint()
    log.close()
    return out / "weights.safetensors"


def _shape(config: dict[str, object]) -> str:
    """The part of a config that must not change over a resume."""
    free = (
        "evaluate_every",
        "checkpoint_minutes",
        "device",
        "data",
        "models",
        "start",
        "precision",
        "compile",
        "workers",
    )
    return repr(sorted((k, repr(v)) for k, v in config.items() if k not in free))
