"""Results of runs without the times that they took, which no two runs share."""

import dataclasses
from typing import Any

from tinynet.history import History


def timeless(content: Any) -> Any:
    """Return a history, or a result as plain data, without its seconds."""
    if isinstance(content, History):
        return dataclasses.replace(content, seconds=[])
    if isinstance(content, dict):
        return {name: timeless(value) for name, value in content.items() if name != "seconds"}
    return [timeless(value) for value in content] if isinstance(content, list | tuple) else content
