"""``python -m tests.cli.long_sweep FOLDER``: `tinynet run` of an experiment that takes a minute, for who stops it."""

import sys
from pathlib import Path

from tests.experiments.test_sweep import Lab
from tinynet import cli
from tinynet.experiments import suite
from tinynet.experiments.experiment import Experiment, Verdict


def main(folder: Path) -> int:
    """Run it on two worker processes; the results go into ``results`` in the folder, which has a `Lab`'s log."""
    experiment = Experiment(
        name="long",
        title="Long",
        claim="It takes long.",
        method="It waits.",
        runs=lambda quick: Lab(folder).runs(1000, 0.05),
        verdict=lambda results: Verdict("holds", f"{len(results)} runs"),
        table=lambda results: [["runs"], [str(len(results))]],
        draw=lambda results: {},
        captions={},
    )
    suite.EXPERIMENTS = {"long": experiment}
    return cli.main(["run", "long", "--jobs", "2", "--out", str(folder / "results")])


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
