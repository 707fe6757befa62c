"""tinynet beside other ways to train the same networks: ``python -m benchmarks`` checks, times and writes it down.

`spec` says what is trained, `peers` with what: a file a library. `check` makes sure that all of them compute the same.
`parts` has what is timed, `measure` how: in turns; `processes` what needs a new Python. `tables`, `draw` and `page`
write it down. `soak` and `last_batch` are programs of their own.
"""
