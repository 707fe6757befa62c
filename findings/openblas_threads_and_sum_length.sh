#!/usr/bin/env bash
# OpenBLAS (in NumPy 2.4.6's wheel): whether a matrix product has the same bits on one thread and on two hangs on the
# kernels that the processor gets and on the length of its sums. A @ B in float32 with A of 256 x K and B of K x 1024:
# with the kernels for AVX2 (Haswell) no K from 300 to 1000 gives the same bits. With those for AVX-512 (SkylakeX) some
# do, others not: a training is reproducible across thread counts with one layer width and not with the next. Where they
# differ, about three quarters of the numbers do, in their last digits. With the AVX-512 kernels a sum that is cut by hand
# into parts of at most 256 terms, added one after the other, has the same bits on one thread and on two.
#
# Output seen:
#   Haswell: the same bits for 0 of 176 lengths; cut into parts of at most 256 terms: 0
#   SkylakeX: the same bits for 55 of 176 lengths; cut into parts of at most 256 terms: 176
set -euo pipefail

if [ "$(getconf _NPROCESSORS_ONLN)" -lt 2 ]; then echo "needs two cores"; exit 1; fi
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 threadpoolctl==3.6.0
cat >"$folder/count.py" <<'PYTHON'
import os

import numpy as np
from threadpoolctl import threadpool_limits

rng = np.random.default_rng(0)
lengths = range(300, 1001, 4)


def product(a, b, longest):
    out = np.zeros((len(a), b.shape[1]), np.float32)
    for start in range(0, a.shape[1], longest):
        out += a[:, start : start + longest] @ b[start : start + longest]
    return out


def same(longest):
    count = 0
    for length in lengths:
        a, b = (rng.standard_normal(shape, np.float32) for shape in ((256, length), (length, 1024)))
        found = []
        for threads in (1, 2):
            with threadpool_limits(threads):
                found.append(product(a, b, longest))
        count += np.array_equal(*found)
    return count


print(
    f"{os.environ['OPENBLAS_CORETYPE']}: the same bits for {same(10_000)} of {len(lengths)} lengths; "
    f"cut into parts of at most 256 terms: {same(256)}"
)
PYTHON

seen() {
    env -u OPENBLAS_NUM_THREADS -u OMP_NUM_THREADS OPENBLAS_CORETYPE="$1" "$folder/venv/bin/python" "$folder/count.py"
}

haswell="$(seen Haswell)"
echo "$haswell"
[ "$haswell" = "Haswell: the same bits for 0 of 176 lengths; cut into parts of at most 256 terms: 0" ]
if grep -q avx512dq /proc/cpuinfo; then
    skylake="$(seen SkylakeX)"
    echo "$skylake"
    [ "$skylake" = "SkylakeX: the same bits for 55 of 176 lengths; cut into parts of at most 256 terms: 176" ]
fi
