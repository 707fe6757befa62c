"""The progress bar, in a terminal or a notebook (the only tqdm import)."""

import importlib.util
import math
import sys
from typing import Any


def bar(total: int, description: str, *, unit: str = " steps") -> Any:
    """Return a tqdm bar that counts steps, or something else; nothing is drawn where no one would see it."""
    in_terminal = sys.stderr is not None and sys.stderr.isatty()
    notebook = in_notebook()
    if notebook and importlib.util.find_spec("ipywidgets"):
        from tqdm.auto import tqdm
    else:  # where it finds no widgets, tqdm.auto warns
        from tqdm import tqdm
    return tqdm(
        total=total,
        desc=description,
        unit=unit,
        disable=not (in_terminal or notebook),
        dynamic_ncols=True,
    )


class StepBar:
    """A training run's bar, with loss, validation accuracy and (tqdm's own) steps per second; it is a callback."""

    def __init__(self, run: Any) -> None:
        self.bar = bar(run.total_steps, "fit")
        if run.step:
            self.bar.initial = run.step  # made before, in another process: they do not count as speed
            self.bar.update(run.step)

    def on_backward(self, run: Any) -> None:
        """Do nothing: the step is not made yet."""

    def on_step(self, run: Any) -> None:
        """Count the step."""
        if self.bar.update(1):  # drawn: a few times a second
            accuracy = run.history.final("validation_accuracy")
            shown = {"loss": f"{run.loss:.3f}"} | ({} if math.isnan(accuracy) else {"accuracy": f"{accuracy:.3f}"})
            self.bar.set_postfix(shown, refresh=False)

    def on_record(self, run: Any) -> None:
        """Do nothing: the next step shows it."""

    def close(self) -> None:
        """Leave the bar as it is."""
        self.bar.close()


def in_notebook() -> bool:
    """Return whether this is the kernel of a notebook; IPython in a terminal has none."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")
