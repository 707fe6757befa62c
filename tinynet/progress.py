"""The progress bar, in a terminal or a notebook (the only tqdm import)."""

import sys
from typing import Any

from tqdm.auto import tqdm


def bar(total: int, description: str, *, unit: str = " steps") -> Any:
    """Return a tqdm bar that counts steps, or something else; nothing is drawn where no one would see it."""
    in_terminal = sys.stderr is not None and sys.stderr.isatty()
    in_notebook = "ipykernel" in sys.modules
    return tqdm(
        total=total,
        desc=description,
        unit=unit,
        disable=not (in_terminal or in_notebook),
        dynamic_ncols=True,
    )
