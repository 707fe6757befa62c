"""Experiments: one file a claim, each saying what to run, what to measure, when it holds and how to draw it."""
