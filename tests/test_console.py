"""Output with odd names, in odd encodings, to readers who have left."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.table import Table

from saros_hf.console import say, show, warn
from training.cli import main

SAROS = f"{sys.executable} -P -m training"


def in_shell(line: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run a line of shell in which ``saros`` is this command line."""
    line = f'set -o pipefail; saros() {{ {SAROS} "$@"; }}; {line}'
    path = str(Path(__file__).parents[1])
    env = os.environ | {"PYTHONPATH": path} | environment
    return subprocess.run(["bash", "-c", line], capture_output=True, env=env, check=False)


def test_names_are_not_markup_and_do_not_command_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    odd = "a[/b] [red]b :smile: \x1b[2J J\udcf6rg"
    shown = r"a[/b] [red]b :smile: \x1b[2J J\udcf6rg"
    table = Table("name", title=odd)
    table.add_row(odd)
    show(table)
    assert capsys.readouterr().out.count(shown) == 2
    say(odd)
    warn(odd)
    assert capsys.readouterr() == (f"{shown}\n", f"saros: {shown}\n")


@pytest.mark.parametrize(
    ("where", "code", "error"),
    [
        ("| true", 0, ""),
        (">&- 2>&- <&-", 0, ""),
        (">/dev/full", 1, "saros: standard output: No space left on device"),
    ],
)
def test_work_goes_on_without_a_reader(tmp_path: Path, where: str, code: int, error: str) -> None:
    done = in_shell(f"saros phantom {tmp_path}/p --cases 1 --size 64 {where}")
    lines = [line for line in done.stderr.decode().splitlines() if "phantom cases" not in line]
    assert (done.returncode, "\n".join(lines)) == (code, error)
    assert (tmp_path / "p" / "case_000" / "image.nii.gz").is_file()


@pytest.mark.parametrize(
    "environment",
    [
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONOPTIMIZE": "2"},
    ],
)
def test_any_environment_will_do(tmp_path: Path, environment: dict[str, str]) -> None:
    done = in_shell(f"saros verify {tmp_path}/Jörg", **environment)
    assert done.returncode == 1
    assert b"rg: found no such folder" in done.stderr
    assert b"Traceback" not in done.stderr


def test_full_disk_is_one_line(small_disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (small_disk / "ballast").write_bytes(bytes(1 << 20))
    with pytest.raises(SystemExit):
        main(["phantom", str(small_disk / "p"), "--cases", "1", "--size", "64"])
    lines = [one for one in capsys.readouterr().err.splitlines() if one.startswith("saros: ")]
    assert lines == [
        "saros: found no space left on device. Make room and run the same command again."
    ]
