"""Words go anywhere: no output, however it is encoded, closed, full or gone, makes a failure of work that was done."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from game import console
from game.errors import InputError
from game.files import given_path, printable

ROOT = Path(__file__).parents[2]
TELLS = """
import sys
from game import cli
from game.console import say, tell
from game.errors import InputError, RunError
def run(command):
    tell("снег 🏰 é \\udce9 done")
    say("warned: é")
    if sys.argv[1]:
        raise eval(sys.argv[1])
    return 0
cli._run = run
sys.exit(cli.main(["--doctor"]))
"""
OUTPUTS = [">&-", "2>&-", "<&-", "<&- >&- 2>&-", ">/dev/full", "2>/dev/full", ">/dev/full 2>&1"]
FAILURES = [
    ("InputError('\\xe9 \\U0001f3f0')", 2),
    ("RunError('a\\nb')", 1),
    ("OSError(5, 'x')", 1),
    ("MemoryError()", 1),
]


def tells(shell: str, raises: str = "", **variables: str) -> subprocess.CompletedProcess:
    """Runs a program that tells and says things, under a redirection of the shell's."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("LC_", "LANG", "PYTHON"))}
    code = TELLS.encode("ascii", "backslashreplace").decode()
    command = ["sh", "-c", f'"$0" -c "$1" "$2" {shell}', sys.executable, code, raises]
    environment = environment | {"PYTHONUTF8": "1"} | variables
    return subprocess.run(command, cwd=ROOT, capture_output=True, timeout=120, check=False, env=environment)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8", "latin-1", "utf-16", "cp932"])
def test_what_an_output_cannot_encode_is_written_as_an_escape(encoding):
    done = tells("", PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    words = done.stdout.decode(encoding, "replace")
    assert words.rstrip().endswith("done") and b"Traceback" not in done.stderr


def test_a_machine_with_no_language_set_is_enough():
    done = tells("", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert done.returncode == 0 and done.stdout.rstrip().endswith(b"done")


@pytest.mark.parametrize(
    "shell", [">&-", "2>&-", "<&-", "<&- >&- 2>&-", ">/dev/full", "2>/dev/full", ">/dev/full 2>&1"]
)
def test_an_output_that_is_closed_or_full_is_no_failure(shell):
    done = tells(shell)
    assert done.returncode == 0 and b"Traceback" not in done.stderr + done.stdout
    if "2>" not in shell:
        assert done.stderr.decode() == "warned: é\n"
    assert b"warned" not in done.stdout, "standard error's words are not standard output's"


@pytest.mark.parametrize(("raises", "code"), FAILURES)
@pytest.mark.parametrize("shell", ["", "2>&-", "2>/dev/full", ">&-"])
def test_the_exit_code_is_right_whether_or_not_it_can_be_said_why(raises, code, shell):
    done = tells(shell, raises, PYTHONIOENCODING="ascii")
    assert done.returncode == code
    assert done.stderr.count(b"\n") == (0 if "2>" in shell else 2) and b"Traceback" not in done.stderr


def test_a_closed_output_is_not_the_next_file_that_is_opened(tmp_path):
    code = f"""
import os
from game.console import prepare_streams, say
prepare_streams()
with open({str(tmp_path / "x")!r}, "w") as file:
    say("words")
    os.write(2, b"from a library")
    file.write("mine")
"""
    done = subprocess.run(["sh", "-c", '"$0" -c "$1" 2>&- >&- <&-', sys.executable, code], cwd=ROOT, check=False)
    assert done.returncode == 0 and (tmp_path / "x").read_text() == "mine"


def test_a_reader_that_has_had_enough_ends_the_program_well():
    code = """
from game import cli
from game.console import tell
cli._run = lambda command: [tell("x" * 99) for _ in range(9999)] and 0
raise SystemExit(cli.main(["--doctor"]))
"""
    command = ["sh", "-c", '("$0" -c "$1"; echo "code $?" >&2) | head -1', sys.executable]
    done = subprocess.run([*command, code], cwd=ROOT, capture_output=True, timeout=120, check=False)
    assert done.stderr == b"code 0\n"


def test_progress_on_a_terminal_that_is_gone_is_silent():
    class Gone:
        encoding = "utf-8"

        def isatty(self):
            return True

        def write(self, words):
            raise OSError(5, "Input/output error")

    bar = console.Progress(Gone())
    bar("loading", 0.5)
    bar("loading", 1.0)
    bar.clear()


def test_a_signal_that_nohup_has_ignored_stays_ignored():
    code = """
import os, signal
from game.console import GentleStop, kill_as_ctrl_c
signal.signal(signal.SIGHUP, signal.SIG_IGN)
with kill_as_ctrl_c(), GentleStop() as stop:
    os.kill(os.getpid(), signal.SIGHUP)
assert not stop.asked
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_text_of_any_kind_is_printed_on_one_line():
    assert printable("a\nb\udce9\x1b[31m 🏰 é") == "a\\nb\\xe9\\x1b[31m 🏰 é"


@pytest.mark.parametrize("text", ["~nobody-of-that-name/x", "a\0b"])
def test_a_path_that_cannot_be_is_one_line(text):
    with pytest.raises(InputError, match="--out"):
        given_path(text, "--out")


def test_a_path_is_taken_as_it_stands(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for text in ("12:30", "-x", "a=b,c[d]{e}", "ü é", "%s", "${x}", "'q'"):
        assert str(given_path(text, "x")) == text
    assert given_path("~/x", "x") == tmp_path / "x"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "~nobody-of-that-name").mkdir()
    assert str(given_path("~nobody-of-that-name", "x")) == "~nobody-of-that-name", "it is there"
