"""Changes of the machinery that make it wrong, each by a few words of its source, made in this process only."""

from __future__ import annotations
import __future__

import contextlib
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tinynet.layers import BatchNorm, Layer
from tinynet.machinery import recording, replay
from tinynet.machinery.recording import Passes, Recorder, Recordings
from tinynet.network import Network
from tinynet.optimizers import SGD
from tinynet.settings import Setting

Edit = tuple[Any, str, str, str]  # whose, which function, the words in it, and those in their place


@dataclass(frozen=True)
class Mutation:
    """What is wrong, and how it is done."""

    what: str
    edits: tuple[Edit, ...]

    @contextlib.contextmanager
    def made(self) -> Iterator[None]:
        """Make the changes and take them back, with what a replay concluded from them."""
        doubt = dict(replay._trust.doubt)
        before = [(owner, name, vars(owner)[name]) for owner, name, _, _ in self.edits]
        try:
            for owner, name, old, new in self.edits:
                setattr(owner, name, edited(vars(owner)[name], owner, old, new))
            yield
        finally:
            for owner, name, function in before:
                setattr(owner, name, function)
            replay._trust.doubt.clear()
            replay._trust.doubt.update(doubt)


def edited(function: Any, owner: Any, old: str, new: str) -> Any:
    """Return the function with other words in its source."""
    source = textwrap.dedent(inspect.getsource(function))
    if source.count(old) != 1:
        raise AssertionError(f"{function.__qualname__} has {old!r} {source.count(old)} times, not once")
    source = source.replace(old, new)
    # in a function of its own, where super() finds the class
    lines = ["def make(__class__):", textwrap.indent(source, "    "), f"    return {function.__name__}"]
    flags = __future__.annotations.compiler_flag
    made: dict[str, Any] = {}
    names = inspect.unwrap(function).__globals__
    exec(compile("\n".join(lines), inspect.getsourcefile(function) or "", "exec", flags), names, made)
    return made["make"](owner)


MUTATIONS = [
    Mutation(
        "what was recorded is not forgotten when a setting is assigned",
        ((Recorder, "forget", "self.recordings = Recordings()", "pass"),),
    ),
    Mutation(
        "a replay reads the batch that was there when it was recorded",
        ((Network, "_predict", "recording.replay(x)", "recording.replay()"),),
    ),
    Mutation(
        "a replay takes all for the batch that lies where the first one lay, the network's own arrays too",
        ((Passes, "prediction", "found.source = x.copy()", "found.source = x"),),
    ),
    Mutation(
        "the gradient that goes in is the one that was there when the way back was recorded",
        ((Passes, "backward", "np.copyto(found.values[0], dy)", "pass"),),
    ),
    Mutation(
        "the way back stays the one that was recorded, though the way there was recorded anew",
        (
            (
                Passes,
                "training",
                "return found",
                "found.backward = vars(self).setdefault(len(batch), {}); return found",
            ),
        ),
    ),
    Mutation(
        "what the layers kept for backward is that of another batch size",
        ((Passes, "finish_training", "elif recording is not recordings.last:", "elif False:"),),
    ),
    Mutation(
        "a new dict of parameters loses the velocity",
        ((SGD, "attach", "if name in known and alike(known[name], w)", "if params is self._given"),),
    ),
    Mutation(
        "a new dict of parameters starts the schedule anew",
        ((SGD, "attach", "params is not self._given and any(", "params is not self._given or any("),),
    ),
    Mutation(
        "where the graph branches, two gradients share an array",
        ((Network, "__init__", "if all(sources == (k,) for k, (_, sources) in enumerate(self._plan)):", "if True:"),),
    ),
    Mutation(
        "two threads replay one recorded prediction at once",
        ((recording, "_taken", "found = shelf.pop()", "found = shelf[-1]"),),
    ),
    Mutation(
        "calls that another thread makes are noted with those of the one that records",
        ((Recorder, "note", "threading.get_ident()", "next(iter(self.noting), 0)"),),
    ),
    Mutation(
        "a training forward that is refused leaves the one before to go back through",
        ((Passes, "batch", "self._set_saved(None)\n", "\n"),),
    ),
    Mutation(
        "eps stays what it was when the layer was first called",
        ((BatchNorm, "forward", "self.eps, y, mu", 'vars(self).setdefault("first", self.eps), y, mu'),),
    ),
    Mutation(
        "an assigned setting is not made Python's own number",
        ((Setting, "__set__", "self.check(f", 'value if type(value).__module__ == "numpy" else self.check(f'),),
    ),
    Mutation(
        "whether nesterov is on stays what it was at the first step",
        ((SGD, "step", "self.nesterov, *arrays", "*arrays"),),
    ),
    Mutation(
        "a forward of the user's own is not noticed",
        ((Recordings, "can_replay", "return tuple(", "return True or tuple("),),
    ),
    Mutation(
        "a prediction is written where a training forward's outputs lie",
        ((Layer, "empty", "self.recorder.in_network and reuse", "self.recorder.in_network"),),
    ),
    Mutation(
        "a handler's prediction ends the recording that it interrupts",
        ((Recorder, "record", "if outer is None:", "if True:"),),
    ),
]
