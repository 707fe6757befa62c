"""How kernels are called fast: matrix products by BLAS, recorded passes and their replay, compiled kernels on disk.

Nothing about training is to be learned here, and the layers read the same without it.
"""
