"""Configs and assets are found wherever the program is started from, also when it is installed as a wheel."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from game.config.paths import ASSETS, CONFIGS

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = None

ROOT = Path(__file__).parents[2]


def test_configs_and_assets_are_found_in_the_repository():
    assert (CONFIGS / "config.yaml").is_file()
    assert ASSETS.is_dir()


@pytest.mark.skipif(tomllib is None, reason="tomllib came with Python 3.11")
def test_every_package_of_the_repository_is_in_the_wheel():
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for top in ("engine", "game")
        for path in (ROOT / top).rglob("*.py")
        if "__pycache__" not in path.parts
    }
    assert found <= listed


@pytest.mark.slow
def test_a_wheel_runs_from_anywhere(tmp_path):
    source = tmp_path / "source"
    ignored = shutil.ignore_patterns(
        ".git", "venv", ".venv", "recordings", "__pycache__", "*.egg-info", "build", "runs"
    )
    shutil.copytree(ROOT, source, ignore=ignored)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", str(tmp_path), str(source)], check=True)
    wheel = next(tmp_path.glob("*.whl"))
    target = tmp_path / "installed"
    subprocess.run([*pip, "install", "--no-deps", "--target", str(target), str(wheel)], check=True)
    code = (
        "import game.config.paths as p; from game.config.settings import load_settings as l;"
        "import engine.training.files as f;"
        "assert f.MODEL.is_file() and f.WEIGHTS.is_dir(), (f.MODEL, f.WEIGHTS);"
        "print(p.CONFIGS, p.ASSETS, l(['model=universal']).model.width, sorted(x.name for x in p.ASSETS.iterdir()))"
    )
    environment = {**os.environ, "PYTHONPATH": str(target)}
    for argv in (["-c", code], ["-m", "game", "--help"], ["-m", "engine.training", "--help"]):
        done = subprocess.run(
            [sys.executable, *argv], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        )
        assert done.stdout
        if argv[0] == "-c":
            assert str(target) in done.stdout
            for asset in ASSETS.iterdir():  # the README's picture stays at home
                assert (repr(asset.name) in done.stdout) == asset.is_dir()
