"""tinynet: a small deep-learning framework that shows what batch normalization does.

The whole API is on this screen; each part of it is loaded at its first use. Start with ``tn.datasets.mnist()``,
``tn.mlp`` and ``tn.fit``.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as typing's own, which takes longer to load than all that is not loaded here
if TYPE_CHECKING:
    from typing import Any

    from tinynet import datasets, initializers, probes, schedules
    from tinynet.callbacks.live import LiveCurves
    from tinynet.callbacks.tensorboard import TensorBoard
    from tinynet.datasets import Dataset
    from tinynet.errors import DataError, FileFormatError, InputError, ShapeError
    from tinynet.evaluation import evaluate
    from tinynet.history import History
    from tinynet.io.onnx import to_onnx
    from tinynet.io.pytorch import from_torch_state, torch_sequential
    from tinynet.layers import (
        ELU,
        GELU,
        SELU,
        Add,
        BatchNorm,
        Concat,
        Dense,
        Dropout,
        Input,
        Layer,
        LayerNorm,
        LeakyReLU,
        Node,
        ReLU,
        Sigmoid,
        Softmax,
        Tanh,
    )
    from tinynet.losses import MeanSquaredError, SoftmaxCrossEntropy
    from tinynet.models import mlp
    from tinynet.network import Network, Sequential
    from tinynet.optimizers import SGD
    from tinynet.probes import Probe
    from tinynet.schedules import Constant, Cosine, StepDecay, Warmup
    from tinynet.training import Callback, Run, fit, resume

    load = Network.load

__version__ = "0.1.0"

__all__ = [
    "ELU",
    "GELU",
    "SELU",
    "SGD",
    "Add",
    "BatchNorm",
    "Callback",
    "Concat",
    "Constant",
    "Cosine",
    "DataError",
    "Dataset",
    "Dense",
    "Dropout",
    "FileFormatError",
    "History",
    "Input",
    "InputError",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "LiveCurves",
    "MeanSquaredError",
    "Network",
    "Node",
    "Probe",
    "ReLU",
    "Run",
    "Sequential",
    "ShapeError",
    "Sigmoid",
    "Softmax",
    "SoftmaxCrossEntropy",
    "StepDecay",
    "Tanh",
    "TensorBoard",
    "Warmup",
    "datasets",
    "evaluate",
    "fit",
    "from_torch_state",
    "initializers",
    "load",
    "mlp",
    "probes",
    "resume",
    "schedules",
    "to_onnx",
    "torch_sequential",
]

_PLACES = {  # where the names above are, for `__getattr__`; of those in none, Capitals are layers, the others files
    "datasets": "Dataset",
    "errors": "DataError FileFormatError InputError ShapeError",
    "evaluation": "evaluate",
    "history": "History",
    "io.pytorch": "from_torch_state torch_sequential",
    "callbacks.live": "LiveCurves",
    "losses": "MeanSquaredError SoftmaxCrossEntropy",
    "models": "mlp",
    "network": "Network Sequential",
    "io.onnx": "to_onnx",
    "optimizers": "SGD",
    "probes": "Probe",
    "schedules": "Constant Cosine StepDecay Warmup",
    "callbacks.tensorboard": "TensorBoard",
    "training": "Callback Run fit resume",
}


if not TYPE_CHECKING:  # which would take every name for one that is there

    def __getattr__(name: str) -> Any:
        """Load a part of the API when it is first asked for (PEP 562).

        So nothing is loaded before the command `tinynet` can answer Ctrl-C, and it need not load what it does not use.
        """
        from importlib import import_module

        if name == "load":
            return import_module("tinynet.network").Network.load
        place = "layers" if name in __all__ and name[0].isupper() else None
        place = next((module for module, names in _PLACES.items() if name in names.split()), place)
        if place is not None:
            globals()[name] = getattr(import_module(f"tinynet.{place}"), name)
            return globals()[name]
        if not name.startswith("_"):
            try:
                return import_module(f"tinynet.{name}")
            except ModuleNotFoundError as error:
                if error.name != f"tinynet.{name}":
                    raise
        raise AttributeError(f"module 'tinynet' has no attribute {name!r}")

    def __dir__() -> list[str]:
        """Return what there is, loaded or not."""
        return sorted({*globals(), *__all__})
