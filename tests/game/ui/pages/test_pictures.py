"""A person sees beforehand what the model will see of their picture."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.errors import PictureError
from engine.pictures import fit_picture
from game.ui.pages.pictures import pictures_folder, preview
from game.ui.toolkit.folders import contents, short_path
from game.world.scenes import PICTURE_SUFFIXES, Scene


@pytest.mark.parametrize("shape", [(300, 200), (200, 1000), (80, 144), (3000, 2000)])
def test_the_preview_is_what_a_world_would_begin_from(tmp_path, shape):
    picture = np.random.default_rng(0).integers(0, 255, (*shape, 3), np.uint8)
    path = tmp_path / "own.png"
    cv2.imwrite(str(path), picture[..., ::-1])
    found = preview(Scene("own", path), 144, 80)
    assert (found.seen == fit_picture(picture, 80, 144)).all()
    assert found.size == shape[::-1] and max(found.whole.shape) <= max(900, 3)
    left, top, width, height = found.cut
    assert 0 <= left <= 1 - width and 0 <= top <= 1 - height
    assert width * shape[1] / (height * shape[0]) == pytest.approx(144 / 80, rel=0.02)


@pytest.mark.parametrize(("name", "data"), [("a.png", b"no"), ("b.jpg", b""), ("c.gif", b"GIF89a")])
def test_a_broken_file_is_one_line(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(PictureError, match=name):
        preview(Scene("a", tmp_path / name), 144, 80)


def test_a_folders_contents_are_its_folders_and_pictures(tmp_path):
    for name in ("B", "a", ".hidden"):
        (tmp_path / name).mkdir()
    for name in ("x.PNG", "y.jpeg", "z.txt", ".w.png"):
        (tmp_path / name).write_text("")
    found = contents(tmp_path, PICTURE_SUFFIXES)
    assert [path.name for path in found.folders] == ["a", "B"]
    assert [path.name for path in found.pictures] == ["x.PNG", "y.jpeg"]
    assert "cannot be read" in contents(tmp_path / "none", PICTURE_SUFFIXES).problem


def test_paths_at_home_are_short():
    home = Path.home()
    assert [short_path(path) for path in (home, home / "a" / "b", home.parent)] == ["~", "~/a/b", str(home.parent)]


def test_a_folder_or_a_pipe_that_is_called_like_a_picture_is_none(tmp_path):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "mine.HEIC").write_bytes(b"")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.png")
    found = contents(tmp_path, PICTURE_SUFFIXES)
    assert [path.name for path in found.pictures] == ["mine.HEIC"]
    assert [path.name for path in found.folders] == ["folder.png"]


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000])
def test_a_folder_whose_name_is_no_name_is_one_line(name):
    assert "cannot be read" in contents(Path(name), PICTURE_SUFFIXES).problem


def test_who_has_no_home_has_a_gallery(monkeypatch):
    def none():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", none)
    assert pictures_folder("") == Path("/") and pictures_folder("/a") == Path("/a")
    assert short_path(Path("/a/b")) == "/a/b"
    assert pictures_folder("~nobody-of-that-name/x") == Path("~nobody-of-that-name/x")
