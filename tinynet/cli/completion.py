"""`tinynet completion`: a script that has a shell complete the command (the only shtab import)."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from tinynet.cli.command import Command

SHELLS = ("bash", "zsh", "fish")


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help="bash, zsh or fish")


def _completion(args: argparse.Namespace) -> int:
    import shtab

    from tinynet.experiments import suite
    from tinynet.initializers import NAMED
    from tinynet.layers import ACTIVATIONS

    names = {"activation": [*ACTIVATIONS], "init": [*NAMED], "experiments": [*suite.EXPERIMENTS]}
    paths = {"DIR": shtab.DIRECTORY, "FILE": shtab.FILE, "OUT": shtab.FILE, "RUN": shtab.FILE}
    for action in _actions(args.parser):
        if action.dest in names:
            action.choices = names[action.dest]
        elif action.metavar in paths:
            action.complete = paths[action.metavar]  # type: ignore[attr-defined]
    script = shtab.complete(args.parser, args.shell)
    if args.shell == "zsh":  # shtab 1.13 would complete only the first of several values
        script = script.replace('"(*):', '"*:')
    print(script)
    return 0


def _actions(parser: argparse.ArgumentParser) -> Iterable[argparse.Action]:
    """Yield the arguments of a parser and of its commands."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for own in action.choices.values():
                yield from _actions(own)


COMMAND = Command(
    name="completion",
    help="print a script for your shell's Tab completion",
    examples={
        "in bash": "tinynet completion bash > ~/.local/share/bash-completion/completions/tinynet",
        "in zsh": "tinynet completion zsh > ~/.zfunc/_tinynet",
        "in fish": "tinynet completion fish > ~/.config/fish/completions/tinynet.fish",
    },
    arguments=_arguments,
    execute=_completion,
)
