"""What watches `tinynet.fit` and shows it elsewhere: curves in a notebook, TensorBoard."""
