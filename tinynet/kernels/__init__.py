"""Compiled functions over plain arrays: the mathematics and nothing else.

Every kernel writes into arrays its caller brings, and sweeps a C-ordered ``(batch, features)`` array row by
row with the features innermost, the order in which it lies in memory. Each has a plain NumPy twin in
``tests/reference.py``.
"""
