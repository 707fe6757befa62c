"""The progress bar, in a terminal or a notebook (the only tqdm import)."""

import importlib.util
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


def in_notebook() -> bool:
    """Return whether this is the kernel of a notebook; IPython in a terminal has none."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")
