"""tinynet beside other ways to train the same networks: ``python -m benchmarks`` checks, times and writes it down.

`spec` says what is trained, and makes sure that all compute the same; `peers` with what: a file a library. `parts` has
what is timed, `measure` how: in turns; `processes` what needs a new Python. `tables`, `draw` and `page` write it down.
"""
