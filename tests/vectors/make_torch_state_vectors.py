"""Write a PyTorch model's state dict and what the model computes, for the tests to compare with. Needs torch.

Run by hand, ``python tests/vectors/make_torch_state_vectors.py``, and commit the files; the tests only read them.
torch_state.safetensors is the file that a user of PyTorch makes, torch_state_bfloat16.safetensors the same rounded to
bfloat16; torch_state.npz holds inputs and outputs.
"""

from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from torch import nn

SOURCE = (  # a module of each kind, with settings that are not the defaults
    "nn.Sequential("
    "nn.Linear(6, 5, bias=True), nn.BatchNorm1d(5, eps=1e-05, momentum=0.1), nn.Sigmoid(), nn.Dropout(0.25), "
    "nn.Linear(5, 8, bias=False), nn.BatchNorm1d(8, eps=0.001, momentum=0.3), nn.LeakyReLU(0.2), "
    "nn.Linear(8, 7, bias=True), nn.LayerNorm(7, eps=0.002), nn.ELU(0.7), nn.Tanh(), nn.ReLU(), "
    "nn.Linear(7, 4, bias=True), nn.SELU(), nn.GELU(), nn.Linear(4, 3, bias=True), nn.Softmax(1))"
)


def main() -> None:
    folder = Path(__file__).parent
    torch.manual_seed(2015)
    model = eval(SOURCE)
    x, more = 2 * torch.randn(40, 6) + 1, 3 * torch.randn(20, 6) - 1
    labels = torch.randint(0, 3, (40,))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(20):  # until no array is as it started
        optimizer.zero_grad()
        nn.functional.nll_loss(torch.log(model(x)), labels).backward()
        optimizer.step()
    safetensors.torch.save_file(model.state_dict(), folder / "torch_state.safetensors")
    rounded = {name: t.bfloat16() if t.is_floating_point() else t for name, t in model.state_dict().items()}
    safetensors.torch.save_file(rounded, folder / "torch_state_bfloat16.safetensors")
    for name, start in eval(SOURCE).state_dict().items():
        assert (model.state_dict()[name] != start).any(), name

    found = {"torch_version": torch.__version__, "source": SOURCE, "x": x, "more": more}
    with torch.no_grad():
        model.eval()
        found["outputs"] = model(x)
        model.train()  # one more batch shows what momentum means
        model[3].eval()  # dropout's random numbers are not tinynet's
        found["training_outputs"] = model(more)
        for name, array in model.state_dict().items():
            if "running" in name:
                found[f"after.{name}"] = array
        model.eval()
        found["outputs_after"] = model(x)
    np.savez_compressed(folder / "torch_state.npz", **{name: np.asarray(value) for name, value in found.items()})


if __name__ == "__main__":
    main()
