"""Claims about jobs in several processes: their results in order, their failures, their end."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from game.errors import InputError
from game.judge.crew import processes_for, run_all


@dataclass(frozen=True)
class Job:
    """frames: how long, in steps. says: what it raises. sleeps: seconds a step."""

    frames: int
    says: str = ""
    sleeps: float = 0.0

    @property
    def name(self) -> str:
        return f"job {self.frames}"

    def run(self, tell):
        for n in range(self.frames):
            time.sleep(self.sleeps)
            tell(n / self.frames)
        if self.says:
            raise InputError("it went wrong", got=self.says, expected="better")
        return self.frames, os.getpid()


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_the_order_of_the_jobs(processes):
    told = []
    found = run_all([Job(n) for n in (3, 9, 1, 5)], lambda what, share: told.append(share), processes)
    assert [frames for frames, _ in found] == [3, 9, 1, 5]
    assert (os.getpid() in {pid for _, pid in found}) == (processes == 1)
    assert told and max(told) <= 1


def test_a_failure_is_raised_whole_and_the_others_end():
    began = time.monotonic()
    with pytest.raises(InputError, match="it went wrong; got that; expected better") as error:
        run_all([Job(2, says="that"), Job(100_000, sleeps=0.01)], lambda what, share: None, 2)
    assert error.value.got == "that"
    assert time.monotonic() - began < 500  # and not the 1,000 s that the other one takes


def test_little_is_done_by_this_process_alone_and_much_by_no_more_than_there_are_cores(monkeypatch):
    monkeypatch.setattr("game.models.machine.usable_cores", lambda: 4)
    monkeypatch.setattr("game.models.machine.host_memory", lambda: (64 << 30, 32 << 30))
    assert processes_for([Job(100), Job(100)]) == 1
    assert processes_for([Job(1000)] * 9) == 4
    assert processes_for([Job(1000)] * 9, threads=2) == 2
    assert processes_for([Job(1000)] * 3) == 3
    monkeypatch.setattr("game.models.machine.host_memory", lambda: (8 << 30, 4 << 30))
    assert processes_for([Job(1000)] * 9) == 2


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_the_one_that_began_it(tmp_path, how):
    program = tmp_path / "program.py"
    program.write_text(
        "import sys\nfrom pathlib import Path\n"
        "from game.judge.crew import run_all\nfrom tests.game.judge.test_crew import Endless\n"
        "if __name__ == '__main__':\n    run_all([Endless(sys.argv[1]), Endless(sys.argv[1])], lambda *_: None, 2)\n"
    )
    root = Path(__file__).resolve().parents[3]
    process = subprocess.Popen(
        [sys.executable, str(program), str(tmp_path)], env=os.environ | {"PYTHONPATH": str(root)},
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    _until(lambda: len(list(tmp_path.glob("*.pid"))) == 2)
    process.send_signal(how)
    process.wait(60)
    pids = [int(path.stem) for path in tmp_path.glob("*.pid")]
    _until(lambda: not any(_lives(pid) for pid in pids))


@dataclass(frozen=True)
class Endless:
    """A job that says in a file who does it."""

    folder: str
    frames: int = 1
    name: str = "endless"

    def run(self, tell):
        Path(self.folder, f"{os.getpid()}.pid").touch()
        while True:
            time.sleep(0.01)
            tell(0.5)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _until(true, seconds: float = 60.0) -> None:
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.02)
