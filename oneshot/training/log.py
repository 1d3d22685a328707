"""What a run writes beside its weights: a CSV of losses and evaluations, and TensorBoard where installed."""

import csv
from pathlib import Path


class RunLog:
    """Appends rows (step, kind, name, value) to `log.csv`; rows after a resumed step are dropped first."""

    def __init__(self, folder: Path, step: int):
        self.path = folder / "log.csv"
        rows: list[list[str]] = []
        if self.path.exists():
            with self.path.open(newline="") as file:
                rows = [row for row in list(csv.reader(file))[1:] if int(row[0]) <= step]
        self.file = self.path.open("w", newline="")
        self.writer = csv.writer(self.file)
        self.writer.writerows([["step", "kind", "name", "value"], *rows])
        try:
            from torch.utils.tensorboard import SummaryWriter

            self.board: SummaryWriter | None = SummaryWriter(folder / "tensorboard", purge_step=step)
        except ImportError:
            self.board = None

    def write(self, step: int, kind: str, values: dict[str, float]) -> None:
        """One row for each value; `kind` is "loss", "rate" or "evaluation"."""
        for name, value in values.items():
            self.writer.writerow([step, kind, name, f"{value:.6g}"])
            if self.board is not None:
                self.board.add_scalar(f"{kind}/{name}", value, step)
        self.file.flush()

    def close(self) -> None:
        """End the files."""
        self.file.close()
        if self.board is not None:
            self.board.close()
