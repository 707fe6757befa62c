"""The progress bar, in a terminal or a notebook (the only tqdm import)."""

import importlib.util
import math
import sys
from typing import Any


def bar(total: int, description: str, *, unit: str = " steps") -> Any:
    """Return a tqdm bar that counts ``unit``; it is drawn in a terminal or a notebook only."""
    in_terminal = sys.stderr is not None and sys.stderr.isatty()
    notebook = in_notebook()
    if notebook and importlib.util.find_spec("ipywidgets"):
        from tqdm.auto import tqdm
    else:  # tqdm.auto warns if it finds no widgets
        from tqdm import tqdm
    return tqdm(
        total=total,
        desc=description,
        unit=unit,
        disable=not (in_terminal or notebook),
        dynamic_ncols=True,
    )


class StepBar:
    """A callback that shows a run's progress, with loss, validation accuracy and steps per second."""

    def __init__(self, run: Any) -> None:
        self.bar = bar(run.total_steps, "fit")
        if run.step:
            self.bar.initial = run.step  # steps made before the run was resumed do not count for the speed
            self.bar.update(run.step)

    def on_backward(self, run: Any) -> None:
        """Do nothing: the step is not finished."""

    def on_step(self, run: Any) -> None:
        """Count the step."""
        if self.bar.update(1):  # true when the bar is drawn, a few times a second
            accuracy = run.history.final("validation_accuracy")
            shown = {"loss": f"{run.loss:.3f}"} | ({} if math.isnan(accuracy) else {"accuracy": f"{accuracy:.3f}"})
            self.bar.set_postfix(shown, refresh=False)

    def on_record(self, run: Any) -> None:
        """Do nothing: the next step shows the record."""

    def close(self) -> None:
        """End the bar, and leave it on the screen."""
        self.bar.close()


def in_notebook() -> bool:
    """Return whether this is the kernel of a notebook; IPython in a terminal has none."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")
