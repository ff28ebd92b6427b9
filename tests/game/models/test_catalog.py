"""Hashes of large files are found out once, and anew when a file has changed."""

import os

import pytest

import engine.weights.checkpoint
from game.config.paths import cache_folder
from game.models.catalog import remember, remembered_sha256
from tests.game.hub import sha256


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Files that were really read; every file counts as large, and the store is the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("game.models.catalog._LEAST", 1)
    seen, find_out = [], engine.weights.checkpoint.sha256_of
    monkeypatch.setattr(
        "engine.weights.checkpoint.sha256_of", lambda path, tell: seen.append(path.name) or find_out(path, tell)
    )
    return seen


def test_a_file_is_read_once_and_again_when_it_changed(read, tmp_path):
    path = tmp_path / "w"
    path.write_bytes(b"abc")
    assert remembered_sha256(path) == remembered_sha256(path) == sha256(b"abc")
    assert read == ["w"]
    path.write_bytes(b"abd")
    os.utime(path, ns=(1, 1))
    assert remembered_sha256(path) == sha256(b"abd")
    assert read == ["w", "w"]


def test_what_was_told_needs_no_reading_and_progress_still_ends_at_one(read, tmp_path):
    path, told = tmp_path / "w", []
    path.write_bytes(b"abc")
    remember(path, "d" * 64)
    assert remembered_sha256(path, lambda *step: told.append(step)) == "d" * 64
    assert (read, told) == ([], [("w", 1.0)])


@pytest.mark.parametrize("damage", ["", "[1]", '{"a": 1}', "no json"])
def test_a_damaged_store_remembers_nothing_and_is_replaced(read, tmp_path, damage):
    path = tmp_path / "w"
    path.write_bytes(b"abc")
    cache_folder().mkdir(parents=True)
    (cache_folder() / "digests.json").write_text(damage)
    assert remembered_sha256(path) == remembered_sha256(path) == sha256(b"abc")
    assert read == ["w"]


def test_where_nothing_can_be_written_files_are_read_each_time(read, tmp_path):
    (tmp_path / "cache").write_text("no folder")
    path = tmp_path / "w"
    path.write_bytes(b"abc")
    assert remembered_sha256(path) == remembered_sha256(path) == sha256(b"abc")
    assert read == ["w", "w"]


def test_small_files_are_not_worth_remembering(read, tmp_path, monkeypatch):
    monkeypatch.setattr("game.models.catalog._LEAST", 10)
    path = tmp_path / "w"
    path.write_bytes(b"abc")
    remembered_sha256(path)
    assert not (cache_folder() / "digests.json").exists()
