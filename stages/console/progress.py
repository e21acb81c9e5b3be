"""Progress of training: a bar on a terminal; in a log, a plain line every few seconds. And what was lost on the way."""

import sys
import time
from collections.abc import Mapping
from typing import Any

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 5.0


def tell_diverged(label: str, diverged: Any) -> None:
    """One line on standard error where runs diverged."""
    if diverged.any():
        print(f"{label}: {diverged.sum()} of {diverged.size} runs diverged, and are left out of the means", file=sys.stderr)


class Progress:
    """Reports the mean losses over the runs that have begun; call it with each evaluation."""

    def __init__(self, label: str, total: int) -> None:
        self.label, self.total = label, total
        self.bar = tqdm(total=total, desc=label, unit="step", leave=True) if sys.stderr.isatty() else None
        self.next_line = time.monotonic() + SECONDS_BETWEEN_LINES

    def __call__(self, step: int, measured: Mapping[str, Any]) -> None:
        if self.bar is None and time.monotonic() < self.next_line and step < self.total:
            return
        losses = {name: f"{measured[name].mean().item():.3g}" for name in ("train_loss", "val_loss")}
        if self.bar is not None:
            self.bar.set_postfix(losses, refresh=False)
            self.bar.update(step - self.bar.n)
        else:
            self.next_line = time.monotonic() + SECONDS_BETWEEN_LINES
            print(f"{self.label}: step {step}/{self.total}", *(f"{name} {value}" for name, value in losses.items()), flush=True)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()
