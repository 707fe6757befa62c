"""The progress bar, in a terminal or a notebook (the only tqdm import)."""

import sys
from typing import Any

from tqdm.auto import tqdm


def bar(total: int, description: str, *, shown: bool = True) -> Any:
    """Return a tqdm bar that counts steps; nothing is drawn unless ``shown``, or where no one would see it."""
    in_terminal = sys.stderr is not None and sys.stderr.isatty()
    in_notebook = "ipykernel" in sys.modules
    return tqdm(
        total=total,
        desc=description,
        unit=" steps",
        disable=not (shown and (in_terminal or in_notebook)),
        dynamic_ncols=True,
    )
