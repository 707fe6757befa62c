from pathlib import Path

import numpy as np

from tests.reference import Array


def pytorch() -> dict[str, Array]:
    """Return the arrays that PyTorch computed, by name; see `make_batch_norm_vectors.py`."""
    with np.load(Path(__file__).with_name("batch_norm.npz")) as file:
        return dict(file)


STATE = Path(__file__).with_name("torch_state.safetensors")  # what a user of PyTorch saves
BFLOAT16 = STATE.with_stem("torch_state_bfloat16")  # the same, after model.bfloat16()


def torch_state() -> dict[str, Array]:
    """Return what the model of that file computes, by name; see `make_torch_state_vectors.py`."""
    with np.load(STATE.with_suffix(".npz")) as file:
        return dict(file)
