"""The scripts that `tinynet completion` prints, tried in the shells there are."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tinynet import cli
from tinynet.cli.completion import SHELLS
from tinynet.cli.parser import commands
from tinynet.experiments import suite
from tinynet.layers import ACTIVATIONS

BASH = """
source {script}
COMP_WORDS=({words}) COMP_CWORD={last} COMP_LINE='{line}' COMP_POINT={end}
complete -p tinynet | grep -q _shtab_tinynet && _shtab_tinynet tinynet "${{COMP_WORDS[{last}]}}"
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
FISH = "source {script}; complete -C '{line}'"
# its line editor works in a terminal only; what it is about to offer is noted
ZSH = """
fpath=({script.parent} $fpath); autoload -Uz compinit; compinit -u -D; setopt no_auto_list no_beep
compadd() {{
    local -a found
    (( $@[(I)-[OAD]*] )) || {{ builtin compadd -O found "$@"; print -rl -- $found >> {answers} }}
    builtin compadd "$@"
}}
zle-line-init() {{ BUFFER='{line}'; CURSOR=$#BUFFER; zle complete-word; BUFFER=exit; zle accept-line }}
zle -N zle-line-init
"""
ASKED = [
    ("tinynet co", {"compare", "completion"}),
    ("tinynet ", {command.name for command in commands()}),
    ("tinynet run learn", {"learning-rate"}),
    ("tinynet run learning-rate figure-1 pred", {"prediction-cost"}),
    ("tinynet run learning-rate ", set(suite.EXPERIMENTS)),
    ("tinynet compare --activation ", set(ACTIVATIONS)),
    ("tinynet train --norm ", {"batch", "layer", "none"}),
    ("tinynet compare --da", {"--data"}),
    ("tinynet evaluate net.s", {"net.safetensors"}),
    ("tinynet export net.safetensors net.s", {"net.safetensors"}),
    ("tinynet plot a.csv net.s", {"net.safetensors"}),
    ("tinynet train --data fas", {"fashion"}),
    ("tinynet completion ", set(SHELLS)),
]


@pytest.fixture
def script(request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert cli.main(["completion", request.param]) == 0
    path = tmp_path / "scripts" / "_tinynet"  # where and under which name zsh looks for it
    path.parent.mkdir()
    path.write_text(capsys.readouterr().out)
    return path


def needs(shell: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(shell) is None, reason=f"{shell} is not installed")


def answers(shell: str, code: str, folder: Path) -> str:
    (folder / "net.safetensors").touch()
    (folder / "fashion").mkdir()
    done = subprocess.run(
        [shell, "-c", code], cwd=folder, capture_output=True, text=True, timeout=60, env={"PATH": "/usr/bin:/bin"}
    )
    assert done.stderr == ""
    return done.stdout


@needs("bash")
@pytest.mark.parametrize(("line", "expected"), ASKED)
@pytest.mark.parametrize("script", ["bash"], indirect=True)
def test_bash_completes(script: Path, tmp_path: Path, line: str, expected: set[str]) -> None:
    words = [*line.split(), ""] if line.endswith(" ") else line.split()
    quoted = " ".join(f"'{word}'" for word in words)
    code = BASH.format(script=script, words=quoted, last=len(words) - 1, line=line, end=len(line))
    assert set(answers("bash", code, tmp_path).split()) - {"-h", "--help", "-V", "--version"} == expected


@needs("fish")
@pytest.mark.parametrize(("line", "expected"), ASKED)
@pytest.mark.parametrize("script", ["fish"], indirect=True)
def test_fish_completes(script: Path, tmp_path: Path, line: str, expected: set[str]) -> None:
    lines = answers("fish", FISH.format(script=script, line=line), tmp_path).splitlines()
    assert {answer.split("\t")[0].rstrip("/") for answer in lines} == expected


@needs("zsh")
@pytest.mark.parametrize(("line", "expected"), ASKED)
@pytest.mark.parametrize("script", ["zsh"], indirect=True)
def test_zsh_completes(script: Path, tmp_path: Path, line: str, expected: set[str]) -> None:
    pty = pytest.importorskip("pty", reason="Windows has no pseudo-terminals")
    for name in ("net.safetensors", "fashion/a"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    answered = tmp_path / "answers"
    (tmp_path / ".zshrc").write_text(ZSH.format(script=script, answers=answered, line=line))
    reading, writing = pty.openpty()
    environment = {"PATH": "/usr/bin:/bin", "TERM": "dumb", "ZDOTDIR": str(tmp_path)}
    streams = {"stdin": writing, "stdout": writing, "stderr": writing}
    subprocess.run(["zsh", "-i"], cwd=tmp_path, env=environment, timeout=60, check=True, **streams)
    for end in (reading, writing):
        os.close(end)
    assert set(answered.read_text().split()) == expected
