"""tinynet beside other ways to train the same networks: ``python -m benchmarks`` checks, times and writes it down.

`spec` says what is trained and `peer` what each library must be able to do; a file ``*_peer`` is one library. `check`
makes sure that all of them compute the same, `measure` times them in turns, and each part of the measurement is a
file: `steps`, `epoch`, `inference`, `kernels`, `growth`, `start`. `targets`, `draw` and `page` make the page.
"""
