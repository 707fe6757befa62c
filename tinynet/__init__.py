"""tinynet: a small deep-learning framework that shows what batch normalization does.

The whole API is on this screen. Start with ``tn.datasets.mnist()``, ``tn.mlp`` and ``tn.fit``.
"""

from tinynet import datasets, initializers, probes, schedules
from tinynet.datasets import Dataset
from tinynet.errors import DataError, FileFormatError, InputError, ShapeError
from tinynet.history import History
from tinynet.interchange import from_torch_state, torch_sequential
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
from tinynet.live import LiveCurves
from tinynet.losses import MeanSquaredError, SoftmaxCrossEntropy
from tinynet.models import mlp
from tinynet.network import Network, Sequential
from tinynet.onnx import to_onnx
from tinynet.optimizers import SGD
from tinynet.probes import Probe
from tinynet.resuming import resume
from tinynet.schedules import Constant, Cosine, StepDecay, Warmup
from tinynet.tensorboard import TensorBoard
from tinynet.training import Callback, Run, evaluate, fit

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
