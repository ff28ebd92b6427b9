"""Playing in a terminal: a line of keys per block; what isn't understood is asked for again."""

import io
import json
import os

import pytest

from engine.families import action_space
from game.errors import InputError
from game.recording.format import Job, read_recording
from game.recording.script import load
from game.tools.render import render
from game.tools.terminal import lines_of, read_line, stream
from tests.game.offline import picture_file, read_video, real_world

UNIVERSAL = action_space("universal")


@pytest.mark.parametrize(
    ("text", "keys", "mouse", "blocks"),
    [
        ("W L\n", ("W",), (0.0, 0.1), 1),
        ("wj\n", ("W",), (0.0, -0.1), 1),
        ("W D I x24\n", ("W", "D"), (0.1, 0.0), 24),
        ("Q\n", (), (0.0, 0.0), 1),
        ("\n", (), (0.0, 0.0), 1),
    ],
)
def test_a_line_is_keys_and_camera_for_a_number_of_blocks(text, keys, mouse, blocks):
    line = read_line(text, UNIVERSAL)
    assert (line.action.keys, line.action.mouse, line.blocks) == (keys, mouse, blocks)


def test_n_stops():
    assert read_line("n\n", UNIVERSAL) is None


@pytest.mark.parametrize("text", ["X", "W S", "J L", "W x0", "W x99999", "1", "W\x00"])
def test_a_line_that_makes_no_sense_names_what_would(text):
    with pytest.raises(InputError, match="expected"):
        read_line(text, UNIVERSAL)


def test_modes_without_a_mouse_have_no_camera_keys():
    assert read_line("Z", action_space("templerun")).action.keys == ("Z",)
    with pytest.raises(InputError, match="expected W S A D Z C, Q"):
        read_line("L", action_space("templerun"))


def test_a_model_of_any_key_takes_them_by_name():
    space = action_space("keyboard_mouse")
    assert read_line("W SPACE SHIFT x3\n", space).action.keys == ("W", "SPACE", "SHIFT")
    assert read_line("mouse_left wheel_down vk_200\n", space).action.keys == ("MOUSE_LEFT", "WHEEL_DOWN", "VK_200")


@pytest.mark.parametrize("letter", "IJKLUN")
def test_letters_that_mean_something_else_are_told_as_keys(letter):
    space = action_space("keyboard_mouse")
    for text in (f"key:{letter}", f"KEY:{letter.lower()}\n", f"vk_{ord(letter)}"):
        line = read_line(text, space)
        assert (line.action.keys, line.action.mouse, line.words) == ((letter,), (0.0, 0.0), letter)
    assert read_line(f"w key:{letter} x2", space).action.keys == ("W", letter)


def test_a_key_and_what_its_letter_means_are_told_together():
    line = read_line("key:i key:k i vk_87", action_space("keyboard_mouse"))
    assert (line.action.keys, line.action.mouse) == (("W", "I", "K"), (10.0, 0.0))
    assert line.words == "I + K + W + look up"


def test_a_key_that_is_not_there_is_named_whole():
    for text, got in (("vk_999", "VK_999"), ("key:vk_256", "VK_256"), ("key:", "")):
        with pytest.raises(InputError, match=f"no such key; got {got}.*key:I"):
            read_line(text, action_space("keyboard_mouse"))
    assert read_line("key:w", UNIVERSAL).action.keys == ("W",)
    with pytest.raises(InputError, match="no such key; got I"):
        read_line("key:i", UNIVERSAL)


@pytest.fixture
def played(tmp_path):
    def play(text):
        words, job = [f"weights={tmp_path}"], Job(out=tmp_path / "s", scene=str(picture_file(tmp_path)))
        return stream(words, job, real_world, io.StringIO(text))

    return play


def test_each_line_makes_a_block_and_the_newest_is_in_the_current_video(tmp_path, played, capsys):
    assert played("W L\nbogus\nQ\nn\nW\n") == 0
    out = capsys.readouterr().out
    assert "block 0  frames 0-8: nothing -> W + look right" in out
    assert "block 1  frames 9-20: W + look right -> nothing" in out
    assert "no such key; got B" in out
    assert len(read_video(tmp_path / "s" / "demo.mp4")) == 21
    assert len(read_video(tmp_path / "s" / "demo_current.mp4")) == 12
    assert json.loads((tmp_path / "s" / "report.json").read_text())["frames"] == 21


def test_the_end_of_input_stops_too_and_the_session_replays(tmp_path, played, capsys):
    assert played("W x2\nA") == 0
    assert read_recording(tmp_path / "s" / "actions.jsonl").actions.keys[21:] == (("A",),) * 12
    assert render(load(tmp_path / "s"), [f"weights={tmp_path}"], Job(out=tmp_path / "again"), real_world) == 0
    assert "identical" in capsys.readouterr().out


def test_no_line_at_all_leaves_an_empty_session(tmp_path, played):
    assert played("") == 0
    assert json.loads((tmp_path / "s" / "report.json").read_text())["frames"] == 0


def test_ctrl_c_while_it_asks_keeps_what_was_played(tmp_path):
    class Hands(io.StringIO):
        def readline(self):
            line = super().readline()
            if not line:
                raise KeyboardInterrupt
            return line

    job = Job(out=tmp_path / "s", scene=str(picture_file(tmp_path)))
    assert stream([f"weights={tmp_path}"], job, real_world, Hands("W\n")) == 0
    assert json.loads((tmp_path / "s" / "report.json").read_text())["frames"] == 9


class Pipe(io.TextIOWrapper):
    """Standard input as another program's output comes: bytes."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BufferedReader(io.BytesIO(data)), encoding="utf-8")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1"])
def test_lines_come_however_they_are_encoded(encoding):
    lines = list(lines_of(Pipe("w\r\nd x2\nd".encode(encoding)), UNIVERSAL))
    assert [(line.action.keys, line.blocks) for line in lines] == [(("W",), 1), (("D",), 2), (("D",), 1)]


def test_a_file_of_which_no_line_is_understood_is_wrong_input_and_one_line_is_enough(capsys):
    with pytest.raises(InputError, match="no line of standard input could be understood: no such key"):
        list(lines_of(Pipe(b"\xc3\xa9\nforward\n"), UNIVERSAL))
    assert len(list(lines_of(Pipe(b"forward\nw\n"), UNIVERSAL))) == 1
    assert list(lines_of(Pipe(b""), UNIVERSAL)) == [] == list(lines_of(Pipe(b"n\nforward\n"), UNIVERSAL))


def test_a_line_is_played_before_the_next_one_comes(tmp_path):
    """As a person, or a program, that waits for the picture needs."""
    reading, writing = os.pipe()
    with open(reading, encoding="utf-8") as stdin:
        lines = lines_of(stdin, UNIVERSAL)
        for number in range(3):
            os.write(writing, b"w x%d\n" % (number + 1))
            assert next(lines).blocks == number + 1
        os.close(writing)
        assert list(lines) == []
