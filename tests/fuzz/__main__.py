"""What writes docs/reliability.md: the long, coverage-guided run, and two parts that are made without it.

``pip install atheris``, then ``python -m tests.fuzz --seconds 30``, from the project's folder. No test needs atheris.
``--soak FILE`` writes the part about memory from what ``python -m tests.soak --out FILE`` found, and ``--tests``
the table of what is tested where.
"""

import argparse
import datetime
import importlib.metadata
import platform
import re
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests import soak
from tests.fuzz.targets import TARGETS, Target
from tinynet import files

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
TESTED = {  # what is promised, and the test files that hold it to that
    "save and resume": ["io/test_run_file.py", "io/test_network_file.py"],
    "PyTorch interchange": ["io/test_pytorch.py"],
    "files from elsewhere": ["test_fuzz.py", "test_files.py", "datasets/test_idx.py", "test_history.py"],
    "numbers": ["test_numbers.py"],
    "properties": ["test_properties.py"],
    "random programs against plain NumPy": ["differential/test_differential.py"],
    "processes and threads": ["test_processes.py"],
    "downloads": ["datasets/test_download.py"],
    "soak": ["test_soak.py"],
    "command line": ["cli/test_arguments.py", "cli/test_faults.py", "cli/test_interruptions.py"],
}
MEMORY = 512  # MiB a process may take; Python with NumPy and what it watches takes half of that


@dataclass(frozen=True)
class Figures:
    """What came of one target."""

    executions: int
    seconds: int
    coverage_of_seeds: int  # of the instrumented branches, those that the valid files take
    coverage: int
    corpus: int  # inputs kept because each went where no other had been
    memory: int  # MiB at most
    finding: str  # the file that did it, or ""


def fuzz(target: Target, seconds: int, folder: Path) -> Figures:
    """Run one target for so long, in a process of its own."""
    with tempfile.TemporaryDirectory() as corpus:
        for k, content in enumerate(target.seeds()):
            (Path(corpus) / f"seed-{k}").write_bytes(content)
        options = {
            "max_total_time": seconds,
            "max_len": 4096,
            "rss_limit_mb": MEMORY,
            "timeout": 60,  # of the wall clock; the worker itself allows 5 s of the processor
            "seed": 1,
            "print_final_stats": 1,
            "artifact_prefix": f"{folder / target.name.replace(' ', '-')}-",
        }
        command = [sys.executable, "-m", "tests.fuzz.worker", target.name, corpus]
        run = subprocess.run(
            command + [f"-{name}={value}" for name, value in options.items()],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            cwd=PAGE.parents[1],
        )
    output = run.stdout + run.stderr
    coverage = [int(found) for found in re.findall(r"^#\d+\s.*cov: (\d+)", output, re.MULTILINE)]
    seeds = re.search(r"^#\d+\s+INITED cov: (\d+)", output, re.MULTILINE)
    stats = dict(re.findall(r"stat::(\w+):\s+(\d+)", output))
    corpora = re.findall(r" corp: (\d+)/", output)
    written = re.search(r"Test unit written to (\S+)", output)
    if not (coverage and seeds and stats and corpora) or (run.returncode and not written):
        raise SystemExit(output[-3000:])
    if written:
        print(run.stdout[-3000:], file=sys.stderr)  # the exception; what libFuzzer says is on the other stream
    return Figures(
        executions=int(stats["number_of_executed_units"]),
        seconds=seconds,
        coverage_of_seeds=int(seeds[1]),
        coverage=max(coverage),
        corpus=int(corpora[-1]),
        memory=int(stats["peak_rss_mb"]),
        finding=Path(written[1]).name if written else "",
    )


def section(results: dict[str, Figures], command: str) -> str:
    """Return the page's part about files."""
    rows = [
        f"| {name} | {f.executions:,} | {f.seconds} | {f.coverage_of_seeds} | {f.coverage} | {f.corpus} | "
        f"{f.memory} | {f.finding or 'none'} |"
        for name, f in results.items()
    ]
    executions = sum(f.executions for f in results.values())
    findings = sum(bool(f.finding) for f in results.values())
    return f"""\
Whatever a file holds, reading it gives what was written or a `tn.FileFormatError` that names the file and the reason.
It never hangs, takes memory in proportion to the file's real size, and executes nothing: there is no pickle. In
every run of the tests hypothesis damages valid files, and files made to take memory or time are read under a limit
([tests/test_fuzz.py](../tests/test_fuzz.py)). This is a longer run with atheris, which keeps the inputs that reach
new branches and goes on from them. A finding is any other exception, a crash, 5 s of processor time for one file, or
a process of more than {MEMORY} MiB.

`{command}` made {executions:,} executions and {findings or "no"} finding{"s" * (findings != 1)}, on
{datetime.datetime.now(datetime.UTC):%Y-%m-%d}, {platform.machine()}, Python {platform.python_version()}, atheris
{importlib.metadata.version("atheris")}.

| file | executions | seconds | branches, valid files | branches, in all | inputs kept | MiB at most | findings |
| --- | --- | --- | --- | --- | --- | --- | --- |
{chr(10).join(rows)}

A network that tinynet saved, a run in a results folder, and gzip carry a checksum: any damage is noticed. A history,
an IDX file that is not packed, and a PyTorch file carry none: a damaged digit or pixel that is still one cannot be
told from a true one.
"""


def tests_section() -> str:
    """Return the page's table of tests, as pytest counts them."""
    names = [f"tests/{name}" for where in TESTED.values() for name in where]
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", *names]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=PAGE.parents[1])
    counts = Counter(line.partition("::")[0] for line in run.stdout.splitlines() if "::" in line)
    rows = [
        f"| {what} | {', '.join(f'[{name}](../tests/{name})' for name in where)} | "
        f"{sum(counts[f'tests/{name}'] for name in where)} |"
        for what, where in TESTED.items()
    ]
    return f"""\
`pytest` runs these, with all the others, on every change; `python -m tests.fuzz --tests` counted them.

| what | where | tests |
| --- | --- | --- |
{chr(10).join(rows)}
"""


def write_section(title: str, text: str, page: Path = PAGE) -> None:
    """Put a section into the page in place of the one with that title, or at its end."""
    parts = re.split(r"^## ", page.read_text(encoding="utf-8"), flags=re.MULTILINE) if page.exists() else []
    intro, *sections = parts or ["# Reliability\n\nEach section is written by the command that it names.\n\n"]
    by_title = {part.partition("\n")[0]: part.partition("\n")[2].strip("\n") for part in sections}
    by_title[title] = text.strip("\n")
    files.write_text(page, (intro + "\n\n".join(f"## {name}\n\n{part}" for name, part in by_title.items())) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=30, help="for each of the targets (default 30)")
    parser.add_argument("--only", choices=[target.name for target in TARGETS], help="one target; the page stays")
    parser.add_argument("--soak", type=Path, metavar="FILE", help="write only the part about memory, from this")
    parser.add_argument("--tests", action="store_true", help="write only the table of tests")
    args = parser.parse_args()
    if args.soak:
        write_section("Soak", soak.section(files.read_json(args.soak)))
    if args.tests:
        write_section("What is tested, and where", tests_section())
    if args.soak or args.tests:
        return
    folder = Path(tempfile.mkdtemp(prefix="tinynet-fuzz-"))  # what is found stays there
    results = {}
    for target in TARGETS:
        if args.only in (None, target.name):
            results[target.name] = fuzz(target, args.seconds, folder)
            print(target.name, results[target.name], flush=True)
    if not args.only:
        write_section("Files from elsewhere", section(results, f"python -m tests.fuzz --seconds {args.seconds}"))
    if not any(folder.iterdir()):
        folder.rmdir()


if __name__ == "__main__":
    main()
