#!/usr/bin/env bash
# safetensors 0.8.0 with NumPy 2.4.6: `safetensors.numpy.save` writes the memory of an array that is not C-ordered as if
# it were. The file is valid and loads without a word, with the numbers in other places: a Fortran-ordered array, a
# transpose, every second column of a matrix. 0.7.0 wrote the numbers where they belong. Whoever moves weights from a
# layout (units, inputs) to (inputs, units) by `.T` stores other weights. `np.ascontiguousarray` before `save` helps.
#
# Output seen:
#   safetensors 0.7.0: C-ordered True, Fortran-ordered True, transposed True, every second column True
#   safetensors 0.8.0: C-ordered True, Fortran-ordered False, transposed False, every second column False
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"

seen() {
    "$folder/venv/bin/pip" install --quiet --disable-pip-version-check "safetensors==$1" numpy==2.4.6
    "$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import safetensors
from safetensors.numpy import load, save

a = np.arange(6, dtype=np.float32).reshape(2, 3)
arrays = {
    "C-ordered": a,
    "Fortran-ordered": np.asfortranarray(a),
    "transposed": a.T,
    "every second column": np.arange(12, dtype=np.float32).reshape(2, 6)[:, ::2],
}
same = {name: np.array_equal(load(save({"x": x}))["x"], x) for name, x in arrays.items()}
print(f"safetensors {safetensors.__version__}:", ", ".join(f"{name} {equal}" for name, equal in same.items()))
PYTHON
}

before="$(seen 0.7.0)"
now="$(seen 0.8.0)"
printf '%s\n%s\n' "$before" "$now"
[ "$before" = "safetensors 0.7.0: C-ordered True, Fortran-ordered True, transposed True, every second column True" ]
[ "$now" = "safetensors 0.8.0: C-ordered True, Fortran-ordered False, transposed False, every second column False" ]
