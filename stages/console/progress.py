"""Progress of training: a bar on a terminal; in a log, a plain line every few seconds."""

import sys
import time
from collections.abc import Mapping
from typing import Any

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 5.0


class Progress:
    """Shows the mean step of all runs, the mean losses last measured, how many runs have ended, and the time left."""

    def __init__(self, label: str, steps: int, *, runs: int) -> None:
        self.label, self.steps, self.runs = label, steps, runs
        self.bar = tqdm(total=steps, desc=label, unit="step") if sys.stderr.isatty() else None
        self.started = time.monotonic()
        self.next_line = self.started + SECONDS_BETWEEN_LINES

    def __call__(self, step: int, measured: Mapping[str, Any], ended: int) -> None:
        now = time.monotonic()
        if self.bar is None and now < self.next_line and ended < self.runs:
            return
        losses = {name: f"{measured[name].mean().item():.3g}" for name in ("train_loss", "val_loss") if name in measured}
        rate = self.runs * step / self.steps / max(now - self.started, 1e-9)  # runs a second
        if self.bar is not None:
            self.bar.set_postfix({"runs": f"{ended}/{self.runs}", "runs/s": f"{rate:.3g}"} | losses, refresh=False)
            self.bar.update(step - self.bar.n)
        else:
            self.next_line = now + SECONDS_BETWEEN_LINES
            left = self.runs * (1 - step / self.steps)
            told = [f"{self.label}: step {step}/{self.steps}, {standing(ended, self.runs, rate, left)}"]
            print(*told, *(f"{name} {value}" for name, value in losses.items()), flush=True)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()


def standing(ended: int, runs: int, rate: float, left: float) -> str:
    """Runs that have ended, the rate in runs a second, and the time that the runs that are left will take."""
    minutes, seconds = divmod(round(left / rate), 60) if rate else (0, 0)
    hours, minutes = divmod(minutes, 60)
    return f"{ended}/{runs} runs" + (f", {rate:.3g} runs/s, {hours}:{minutes:02}:{seconds:02} left" if rate else "")
