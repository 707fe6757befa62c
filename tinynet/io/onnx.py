"""A network as an ONNX model, which other programs run: onnxruntime, a phone, a browser.

A layer becomes the ONNX operator of its name, or a few that spell its formula out; parameters and running statistics
keep their names (``dense_1.weight``), and so do the layers' outputs (``dense_1``). What ONNX calls an attribute, such
as a slope or eps, is a float32: a float64 network's formulas are spelled out, with its own numbers as constants.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinynet import files
from tinynet.errors import InputError
from tinynet.layers import ELU, GELU, LAYERS, SELU, BatchNorm, Concat, Dense, Layer, LayerNorm, LeakyReLU, Softmax
from tinynet.layers.activations import SELU_ALPHA, SELU_SCALE
from tinynet.typing import DType

if TYPE_CHECKING:
    import onnx

    from tinynet.network import Network

OPERATOR_SET = 17  # the oldest with LayerNormalization: the older, the more programs read it
SAME = {"Sigmoid": "Sigmoid", "Tanh": "Tanh", "ReLU": "Relu", "Add": "Sum", "Dropout": "Identity"}


def to_onnx(net: Network, path: str | Path | None = None) -> onnx.ModelProto:
    """Return a network's prediction as an ONNX model, and write it to a file; needs ``tinynet-lab[onnx]``.

    Parameters
    ----------
    net : Network
        Left as it is. `Network.calibrate` it before; `Network.fold` it for fewer nodes.
    path : path, optional
        Such as ``net.onnx``: written whole or not at all.

    Returns
    -------
    onnx.ModelProto
        Its ``input`` is (batch, inputs), its ``output`` (batch, outputs), both of the network's dtype and for any
        batch. It computes ``net.forward(x)``: `BatchNorm` with its running statistics, `Dropout` doing nothing; a
        float64 network's `GELU` only to float32's digits.

    Raises
    ------
    InputError
        If a layer is of a kind that is not tinynet's own, or the package onnx is not installed.
    """
    if not hasattr(net, "nodes"):
        raise InputError(f"to_onnx: the first argument is the network, as tn.mlp makes it, not {type(net).__name__}")
    try:
        from onnx import helper, numpy_helper
    except ImportError:
        raise InputError("ONNX needs one more package: pip install 'tinynet-lab[onnx]'") from None
    from tinynet import __version__

    names = {net.nodes[0]: "input"}
    nodes = []
    for node in net.nodes[1:]:
        assert node.layer is not None
        writer = _Writer(node.layer.name, helper, numpy_helper, net.dtype)
        names[node] = "output" if node is net.nodes[-1] else node.layer.name
        _write_layer(writer, node.layer, [names[parent] for parent in node.parents])
        # the last node is the layer's result
        writer.nodes[-1].name, writer.nodes[-1].output[0] = node.layer.name, names[node]
        nodes += writer.nodes
    kind = helper.np_dtype_to_tensor_dtype(net.dtype)
    graph = helper.make_graph(
        nodes,
        "tinynet",
        [helper.make_tensor_value_info("input", kind, ["batch", net.inputs])],
        [helper.make_tensor_value_info("output", kind, ["batch", net.outputs])],
        [numpy_helper.from_array(array, name) for name, array in {**net.params, **net.state}.items()],
    )
    versions = [helper.make_opsetid("", OPERATOR_SET)]
    model = helper.make_model(
        graph,
        opset_imports=versions,
        ir_version=helper.find_min_ir_version_for(versions),  # onnx's own newest is refused by programs before it
        producer_name="tinynet",
        producer_version=__version__,
    )
    if path is not None:
        with files.replacing(path) as temporary:
            temporary.write_bytes(model.SerializeToString())
    return model


class _Writer:
    """Writes one layer's nodes."""

    def __init__(self, layer: str, helper: Any, numpy_helper: Any, dtype: np.dtype[Any]) -> None:
        self.layer, self.helper, self.numpy_helper, self.dtype = layer, helper, numpy_helper, dtype
        self.nodes: list[onnx.NodeProto] = []

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node; return the name of its output."""
        name = f"{self.layer}/{len(self.nodes)}"
        self.nodes.append(self.helper.make_node(kind, inputs, [name], name, **attributes))
        return name

    def number(self, value: float) -> str:
        """Add a constant of the network's dtype; return its name."""
        return self.op("Constant", value=self.numpy_helper.from_array(np.array(value, self.dtype)))

    def cast(self, name: str, dtype: DType) -> str:
        """Add a conversion to another dtype; return the name of its output."""
        return self.op("Cast", name, to=self.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def own(self, *names: str) -> list[str]:
        """Return the full names of the layer's own arrays."""
        return [f"{self.layer}.{name}" for name in names]


def _write_layer(to: _Writer, layer: Layer, inputs: list[str]) -> None:
    kind, x = type(layer).__name__, inputs[0]
    if LAYERS.get(kind) is not type(layer):
        raise InputError(f"{layer.name}: ONNX has no layer {kind}; it has {', '.join(LAYERS)}")
    double = to.dtype == np.float64
    match layer:
        case Dense(bias=True):
            to.op("Gemm", x, *to.own("weight", "bias"))
        case Dense():
            to.op("MatMul", x, *to.own("weight"))
        case BatchNorm() if double:
            mean, var = to.own("running_mean", "running_var")
            _write_normalization(to, to.op("Sub", x, mean), var, layer.eps)
        case BatchNorm():
            arrays = to.own("gamma", "beta", "running_mean", "running_var")
            to.op("BatchNormalization", x, *arrays, epsilon=layer.eps)
        case LayerNorm() if double:
            centred = to.op("Sub", x, to.op("ReduceMean", x, axes=[1]))
            var = to.op("ReduceMean", to.op("Mul", centred, centred), axes=[1])
            _write_normalization(to, centred, var, layer.eps)
        case LayerNorm():
            to.op("LayerNormalization", x, *to.own("gamma", "beta"), epsilon=layer.eps)
        case LeakyReLU() if double:
            to.op("Add", to.op("Relu", x), to.op("Mul", to.number(layer.slope), _negative_part(to, x)))
        case LeakyReLU():
            to.op("LeakyRelu", x, alpha=layer.slope)
        case ELU() if double:
            _write_elu(to, x, layer.alpha)
        case ELU():
            to.op("Elu", x, alpha=layer.alpha)
        case SELU() if double:
            to.op("Mul", to.number(SELU_SCALE), _write_elu(to, x, SELU_ALPHA))
        case SELU():
            to.op("Selu", x, alpha=SELU_ALPHA, gamma=SELU_SCALE)
        case GELU():  # has an operator of its own only since set 20
            z = to.op("Div", x, to.number(np.sqrt(2)))
            # neither onnxruntime nor the reference evaluator has erf in float64
            erf = to.cast(to.op("Erf", to.cast(z, np.float32)), np.float64) if double else to.op("Erf", z)
            to.op("Mul", to.op("Mul", x, to.op("Add", erf, to.number(1))), to.number(0.5))
        case Softmax():
            to.op("Softmax", x, axis=1)
        case Concat():
            to.op("Concat", *inputs, axis=1)
        case _ if kind in SAME:
            to.op(SAME[kind], *inputs)
        case _:
            raise InputError(f"{layer.name}: {kind} has no ONNX operator yet; give it one in tinynet/io/onnx.py")


def _write_normalization(to: _Writer, centred: str, var: str, eps: float) -> None:
    """Write gamma (x - mean) / sqrt(var + eps) + beta."""
    gamma, beta = to.own("gamma", "beta")
    x_hat = to.op("Div", centred, to.op("Sqrt", to.op("Add", var, to.number(eps))))
    to.op("Add", to.op("Mul", x_hat, gamma), beta)


def _write_elu(to: _Writer, x: str, alpha: float) -> str:
    """Write max(x, 0) + alpha (e^min(x, 0) - 1), which does not overflow where x is large."""
    below = to.op("Sub", to.op("Exp", _negative_part(to, x)), to.number(1))
    return to.op("Add", to.op("Relu", x), to.op("Mul", to.number(alpha), below))


def _negative_part(to: _Writer, x: str) -> str:
    return to.op("Min", x, to.number(0))
