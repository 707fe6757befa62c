"""Layers that join branches of a graph."""

from tinynet import kernels
from tinynet.arrays import check_array
from tinynet.errors import ShapeError
from tinynet.layers.base import Layer
from tinynet.typing import Array


class Merge(Layer):
    """Several inputs, one output; ``forward(*xs)`` and a backward that returns one array an input."""

    many_inputs = True

    def checked_all(self, xs: tuple[Array, ...]) -> list[Array]:
        """As `Layer.checked`, for several inputs."""
        if self.dtype is None:
            xs = tuple(check_array(x, self.name) for x in xs)
            self.build(*(x.shape[1] for x in xs), dtype=xs[0].dtype if xs else "float32")
        if len(xs) != len(self.features):
            raise ShapeError(f"{self.name}: was built for {len(self.features)} inputs, got {len(xs)}")
        checked = [check_array(x, self.name, width, self.dtype) for x, width in zip(xs, self.features, strict=True)]
        if len({len(x) for x in checked}) > 1:
            raise ShapeError(f"{self.name}: inputs have different batch sizes: {[len(x) for x in checked]}")
        return checked


class Add(Merge):
    """Sum of its inputs, which have the same number of features: a skip connection's join."""

    kind = "add"
    replayable = True

    def output_features(self, *features: int) -> int:  # noqa: D102
        if not features or len(set(features)) > 1:
            raise ShapeError(f"{self.name}: inputs must have the same number of features, got {features}")
        return features[0]

    def forward(self, *xs: Array, training: bool = False) -> Array:
        """Return x_1 + x_2 + ..., each (batch, features); ShapeError if their number or shapes do not fit."""
        first, *others = self.checked_all(xs)
        y = self.empty("y", first.shape, reuse=training)
        self.call(kernels.merge.copy, first, y)
        for x in others:
            self.call(kernels.merge.add, y, x, y)
        if training:
            self.save_for_backward(y)
        return y

    def backward(self, dy: Array) -> tuple[Array, ...]:  # type: ignore[override]
        """Return dy, (batch, features), for each input."""
        (dy,) = self.saved_for_backward(dy)
        dxs = tuple(self.empty(f"dx_{k}", dy.shape) for k in range(len(self.features)))
        for dx in dxs:
            self.call(kernels.merge.copy, dy, dx)
        return dxs


class Concat(Merge):
    """Its inputs side by side: features add up."""

    kind = "concat"
    replayable = True

    def output_features(self, *features: int) -> int:  # noqa: D102
        if not features:
            raise ShapeError(f"{self.name}: needs at least one input")
        return sum(features)

    def forward(self, *xs: Array, training: bool = False) -> Array:
        """Return [x_1, x_2, ...], (batch, sum of features); ShapeError if their number or shapes do not fit."""
        arrays = self.checked_all(xs)
        y = self.empty("y", (len(arrays[0]), sum(self.features)), reuse=training)
        start = 0
        for x in arrays:
            self.call(kernels.merge.write_columns, x, y, start)
            start += x.shape[1]
        if training:
            self.save_for_backward(y)
        return y

    def backward(self, dy: Array) -> tuple[Array, ...]:  # type: ignore[override]
        """Return each input's own columns of dy, (batch, its features)."""
        (dy,) = self.saved_for_backward(dy)
        dxs, start = [], 0
        for k, width in enumerate(self.features):
            dxs.append(self.empty(f"dx_{k}", (len(dy), width)))
            self.call(kernels.merge.read_columns, dy, start, dxs[k])
            start += width
        return tuple(dxs)
