"""--fetch, against a hub on the loopback: exactly the files needed, resumed, checked."""

import dataclasses
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

import game.models.download
from engine.families import matrix_game2
from game.cli import main
from game.config.paths import fetched_folder
from game.config.settings import load_settings
from game.errors import InputError, RunError
from game.models.catalog import find_weights
from game.models.download import Remote, download, fetch
from tests.engine.published import published_names
from tests.game.hub import COMMIT, REPOSITORY, Hub, sha256

ROOT = Path(__file__).parents[3]
LIGHT_DECODER = matrix_game2._LIGHT_DECODER
MODES = ("universal", "gta_drive", "templerun")


@pytest.fixture(autouse=True)
def at_home(tmp_path, monkeypatch):
    """The user's own folder is one of the test's, and nobody waits between tries."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("game.models.download._PAUSE_S", 0.0)
    monkeypatch.setattr("game.models.download._PIECE", 1000)


@pytest.fixture
def hub():
    names = {name for mode in MODES for name in published_names(mode)}
    more = {"README.md", "config.json", LIGHT_DECODER.name}
    draw = random.Random(0)
    with Hub({name: draw.randbytes(7000 + len(name)) for name in sorted(names | more)}) as made:
        yield made


def parts(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.part"))


@pytest.mark.parametrize("mode", MODES)
def test_exactly_the_files_of_the_chosen_model_are_fetched(hub, tmp_path, mode, capsys):
    assert fetch([f"model={mode}", f"weights={tmp_path}"], hub.ask) == 0
    assert set(hub.fetched()) == set(published_names(mode))
    for name in published_names(mode):
        assert (tmp_path / name).read_bytes() == hub.files[name]
    assert not parts(tmp_path)
    assert f"python -m game model={mode} weights={tmp_path}" in capsys.readouterr().out


def test_a_light_decoder_is_fetched_when_it_is_chosen(hub, tmp_path, monkeypatch):
    there = hub.remote(LIGHT_DECODER.name)
    moved = dataclasses.replace(LIGHT_DECODER, url=there.url, size=there.size, sha256=there.sha256)
    monkeypatch.setattr(matrix_game2, "_LIGHT_DECODER", moved)
    words = ["model=universal", f"weights={tmp_path}"]
    fetch([*words, "decoder=taehv", f"decoder.weights={tmp_path}/mine.pth"], hub.ask)
    assert LIGHT_DECODER.name not in hub.fetched()
    fetch([*words, "decoder=taehv"], hub.ask)
    assert (tmp_path / LIGHT_DECODER.name).read_bytes() == hub.files[LIGHT_DECODER.name]


def test_files_are_asked_for_in_the_programs_own_name(hub, tmp_path):
    fetch([f"weights={tmp_path}", "model=universal"], hub.ask)
    assert hub.agents and all(agent.startswith("neural-world/") for agent in hub.agents)


def test_a_second_run_checks_and_fetches_nothing(hub, tmp_path, capsys):
    words = ["model=universal", f"weights={tmp_path}"]
    fetch(words, hub.ask)
    before = len(hub.asked)
    assert fetch(words, hub.ask) == 0
    assert len(hub.asked) == before
    assert capsys.readouterr().out.count("was there") == 3


def test_a_file_that_was_changed_is_fetched_anew(hub, tmp_path):
    words, name = ["model=universal", f"weights={tmp_path}"], "Wan2.1_VAE.pth"
    fetch(words, hub.ask)
    (tmp_path / name).write_bytes(bytes(len(hub.files[name])))
    fetch(words, hub.ask)
    assert (tmp_path / name).read_bytes() == hub.files[name]
    assert hub.fetched()[name] == 2


def test_what_is_fetched_is_found_without_being_named(hub):
    with pytest.raises(InputError, match="--fetch model=universal"):
        find_weights(load_settings(["model=universal"]))
    fetch(["model=universal"], hub.ask)
    assert find_weights(load_settings(["model=universal"])) == fetched_folder("Matrix-Game-2.0")


def test_a_broken_line_is_taken_up_where_it_broke(hub, tmp_path):
    hub.cut = 3
    download(hub.remote("Wan2.1_VAE.pth"), tmp_path, lambda *_: None)
    assert (tmp_path / "Wan2.1_VAE.pth").read_bytes() == hub.files["Wan2.1_VAE.pth"]
    starts = [start for _, _, start in hub.asked]
    assert len(starts) == 4 and starts == sorted(starts) and starts[1] > 0


def test_an_interrupted_fetch_goes_on_at_the_next_run(hub, tmp_path):
    remote = hub.remote("Wan2.1_VAE.pth")

    def stop(_what, share):
        if share > 0.4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(remote, tmp_path, stop)
    (held,) = parts(tmp_path)
    size = held.stat().st_size
    assert 0 < size < remote.size and not (tmp_path / remote.name).exists()
    download(remote, tmp_path, lambda *_: None)
    assert hub.asked[-1] == ("GET", remote.name, size)
    assert sha256((tmp_path / remote.name).read_bytes()) == remote.sha256


def test_a_part_of_another_version_is_not_gone_on_with(hub, tmp_path):
    remote = hub.remote("Wan2.1_VAE.pth")
    old = tmp_path / f"{remote.name}.{'0' * 12}.part"
    old.write_bytes(b"old")
    download(remote, tmp_path, lambda *_: None)
    assert (tmp_path / remote.name).read_bytes() == hub.files[remote.name]


def test_a_server_that_cannot_begin_in_the_middle_begins_anew(hub, tmp_path):
    hub.cut, hub.ranges = 2, False
    download(hub.remote("Wan2.1_VAE.pth"), tmp_path, lambda *_: None)
    assert (tmp_path / "Wan2.1_VAE.pth").read_bytes() == hub.files["Wan2.1_VAE.pth"]


def test_a_line_that_stays_broken_is_given_up_and_what_came_is_kept(hub, tmp_path, monkeypatch):
    remote, gone = hub.remote("Wan2.1_VAE.pth"), []
    opened = game.models.download._open

    def unplugged(url, start):
        gone.append(start)
        if len(gone) > 1:
            raise ConnectionResetError("unplugged")
        hub.cut = 1
        return opened(url, start)

    monkeypatch.setattr("game.models.download._open", unplugged)
    with pytest.raises(RunError, match=r"stopped at .* got unplugged; run --fetch again"):
        download(remote, tmp_path, lambda *_: None)
    assert len(gone) == 1 + game.models.download._TRIES
    assert parts(tmp_path)[0].read_bytes() == hub.files[remote.name][: gone[-1]] != b""


def test_a_damaged_file_never_gets_its_name(hub, tmp_path):
    hub.wrong.add("Wan2.1_VAE.pth")
    with pytest.raises(RunError, match="arrived damaged"):
        download(hub.remote("Wan2.1_VAE.pth"), tmp_path, lambda *_: None)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_said_before_anything_is_fetched(hub, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 100})())
    with pytest.raises(RunError, match="too little room"):
        fetch(["model=universal", f"weights={tmp_path}"], hub.ask)
    assert not hub.asked


def test_progress_names_the_file_and_ends_at_one(hub, tmp_path):
    told = []
    download(hub.remote("Wan2.1_VAE.pth"), tmp_path, lambda what, share: told.append((what, share)))
    assert all("Wan2.1_VAE.pth" in what for what, _ in told)
    shares = [share for _, share in told]
    assert shares == sorted(shares) and shares[-1] == 1.0


@pytest.mark.parametrize("words", [[], ["model=universal-slice"], ["model=universal", "weights=random"]])
def test_models_that_need_nothing_are_refused(words):
    with pytest.raises(InputError, match="needs nothing fetched"):
        fetch(words)


def test_without_the_extra_the_way_to_get_it_is_said(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert main(["--fetch", "model=universal"]) == 2
    assert "pip install huggingface_hub" in capsys.readouterr().err


def test_fetch_goes_with_no_other_way(capsys):
    for more in (["--bench"], ["--headless"], ["--out", "x"], ["--seed", "1"]):
        assert main(["--fetch", *more]) == 2
    assert "does nothing with --fetch" in capsys.readouterr().err


def run(hub_url: str, folder: Path) -> subprocess.CompletedProcess:
    return real(hub_url, "-m", "game", "--fetch", "model=gta_drive", f"weights={folder}")


def real(hub_url: str, *words: str) -> subprocess.CompletedProcess:
    """Python with the real library, which takes `hub_url` for Hugging Face."""
    environment = os.environ | {"HF_ENDPOINT": hub_url, "HF_HUB_DISABLE_TELEMETRY": "1", "no_proxy": "127.0.0.1"}
    environment.pop("HF_HUB_OFFLINE", None)
    return subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def test_the_real_library_is_asked_and_understood(hub, tmp_path):
    pytest.importorskip("huggingface_hub")
    done = run(hub.url, tmp_path)
    assert done.returncode == 0, done.stderr
    for name in published_names("gta_drive"):
        assert (tmp_path / name).read_bytes() == hub.files[name]
    assert {method for method, _, _ in hub.asked} == {"HEAD", "GET"}


@pytest.mark.parametrize(
    ("revision", "said"), [(COMMIT[:12], f"/resolve/{COMMIT}/"), ("feed", "no commit feed any more")]
)
def test_a_commit_is_asked_for_by_its_full_name(hub, revision, said):
    pytest.importorskip("huggingface_hub")
    words = f"from game.models.download import ask_hub; print(ask_hub({REPOSITORY!r}, 'config.json', {revision!r}).url)"
    done = real(hub.url, "-c", words)
    assert said in done.stdout + done.stderr and (done.returncode == 0) == (revision != "feed")


def test_waypoint_is_fetched_as_it_was_when_its_network_was_written(tmp_path):
    asked = []

    def ask(repository: str, name: str, revision: str | None) -> Remote:
        asked.append((repository, revision))
        raise RunError("enough")

    with pytest.raises(RunError):
        fetch(["model=waypoint", f"weights={tmp_path}"], ask)
    assert asked == [("Overworld/Waypoint-1.5-1B", "391f92827075")]


def test_a_hub_without_the_file_or_without_an_answer_is_one_line(hub, tmp_path):
    pytest.importorskip("huggingface_hub")
    del hub.files[published_names("gta_drive")[0]]
    done = run(hub.url, tmp_path)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1 and f"does not tell of {REPOSITORY}/gta_distilled_model" in done.stderr
