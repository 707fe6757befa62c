"""Callbacks that show a run of `tinynet.fit` elsewhere: curves in a notebook, TensorBoard."""
