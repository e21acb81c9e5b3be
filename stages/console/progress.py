"""Progress of training: a bar on a terminal; in a log, a plain line every few seconds."""

import sys
import time
from collections.abc import Mapping
from typing import Any

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 5.0


class Progress:
    """Reports how far all runs are, with the mean losses over those that have begun; call it with each evaluation.

    Of several chunks it tells how many are finished, how many runs end a second, and the time left, wherever they run. What was
    kept from before, given as its share of the steps, counts as done but in no rate.
    """

    def __init__(self, label: str, steps: int, *, runs: int, chunks: int, kept: int) -> None:
        self.label, self.steps, self.runs, self.chunks, self.kept = label, steps, runs, chunks, kept
        self.bar = tqdm(total=steps, initial=kept, desc=label, unit="step", leave=True) if sys.stderr.isatty() else None
        self.started = time.monotonic()
        self.next_line = self.started + SECONDS_BETWEEN_LINES

    def __call__(self, step: int, measured: Mapping[str, Any], finished: int) -> None:
        now = time.monotonic()
        if self.bar is None and now < self.next_line and finished < self.chunks:
            return
        losses = {name: f"{measured[name].mean().item():.3g}" for name in ("train_loss", "val_loss") if name in measured}
        rate = self.runs * (step - self.kept) / self.steps / max(now - self.started, 1e-9)  # runs a second
        if self.bar is not None:
            several = {"chunks": f"{finished}/{self.chunks}", "runs/s": f"{rate:.3g}"} if self.chunks > 1 else {}
            self.bar.set_postfix(several | losses, refresh=False)
            self.bar.update(step - self.bar.n)
        else:
            self.next_line = now + SECONDS_BETWEEN_LINES
            left = self.runs * (1 - step / self.steps)
            all_chunks = f", {standing(finished, self.chunks, rate, left)}" if self.chunks > 1 else ""
            told = [f"{self.label}: step {step}/{self.steps}{all_chunks}", *(f"{name} {value}" for name, value in losses.items())]
            print(*told, flush=True)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()


def standing(finished: int, chunks: int, rate: float, left: float) -> str:
    """Chunks finished, the rate in runs a second, and the time that the runs that are left will take."""
    minutes, seconds = divmod(round(left / rate), 60) if rate else (0, 0)
    hours, minutes = divmod(minutes, 60)
    return f"{finished}/{chunks} chunks, {rate:.3g} runs/s" + (f", {hours}:{minutes:02}:{seconds:02} left" if rate else "")
