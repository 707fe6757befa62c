"""Files from elsewhere, damaged in every way that a fuzzer finds: ``python -m tests.fuzz`` for the long run."""
