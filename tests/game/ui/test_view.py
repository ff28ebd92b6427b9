"""The window's words at sizes people choose: readable, whole, and never one over the other."""

from __future__ import annotations

import os
from dataclasses import replace
from types import SimpleNamespace

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # before pygame: these tests want no window on anybody's screen

import numpy as np
import pygame
import pytest

from engine.families import action_space
from game.input.controls import FrameControl
from game.live.status import Picture, ReplayFigures, State, Status
from game.media.icons import PLACES
from game.media.palette import ACCENT
from game.ui.toolkit.paint import TEXT_SIZES, Painter, text_unit
from game.ui.view import (
    BEATS,
    Hud,
    KeyLine,
    Look,
    Presenter,
    Scenery,
    View,
    clock_words,
    numbers_of,
    passing_lines,
)
from tests.game.screens import ADVICE, FIGURES

SIZES = [(200, 150), (320, 240), (300, 900), (640, 400), (900, 300), (1280, 720), (2560, 1440)]
SPACE = action_space("universal")
PLAYING = Status(state=State.PLAYING, words="", space=SPACE, model="tiny", device="cpu", recording=True, recorded=3599)
BLACK = Picture(np.zeros((80, 144, 3), np.uint8), 0, FrameControl((), (0.0, 0.0)))
KEYS = tuple(KeyLine(("W", "A", "S", "D")[: 1 + i % 4], f"does thing {i}") for i in range(10))


@pytest.fixture(autouse=True)
def display():
    pygame.display.init()
    yield
    pygame.display.quit()


class Marked(Painter):
    """Notes where each patch was laid on the window."""

    def __init__(self) -> None:
        super().__init__()
        self.laid: list[pygame.Rect] = []

    def patch(self, surface, rgba, x, y):
        super().patch(surface, rgba, x, y)
        self._note(surface, pygame.Rect(x, y, rgba.shape[1], rgba.shape[0]))

    def glass(self, surface, area, colour, opacity, radius):
        super().glass(surface, area, colour, opacity, radius)
        self._note(surface, area)

    def _note(self, surface, area):
        if surface.get_abs_parent() is pygame.display.get_surface():
            self.laid.append(area.move(surface.get_abs_offset()))


def scenery(size, **changes) -> Scenery:
    return replace(Scenery(BLACK, PLAYING, False, size, advice=ADVICE, ease="F4"), **changes)


def laid(size, **changes) -> list[pygame.Rect]:
    """Where the parts of a scenery lie; what lies within another part is left out."""
    surface, paint = pygame.display.set_mode(size), Marked()
    View(paint, Hud(paint)).draw(surface, scenery(size, **changes))
    parts = paint.laid
    return [
        one for i, one in enumerate(parts)
        if not any(other.contains(one) and (other.size != one.size or j < i) for j, other in enumerate(parts) if j != i)
    ]  # fmt: skip


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("remark", ["", "Scene: garden"])
@pytest.mark.parametrize("place", PLACES)
def test_panels_icons_and_dot_stay_inside_and_apart(size, remark, place):
    parts = laid(size, remark=remark, numbers=numbers_of(FIGURES, PLAYING), look=Look(icons_place=place))
    assert len(parts) >= 7, "four keys, the look, the warning and the recording's dot at least"
    inside = pygame.Rect((0, 0), size)
    for i, part in enumerate(parts):
        assert inside.contains(part)
        assert part.collidelist(parts[i + 1 :]) == -1, f"{part} of {parts}"


@pytest.mark.parametrize("size", SIZES)
def test_the_numbers_keep_out_of_the_pauses_card(size):
    *others, card = laid(size, paused=True, numbers=numbers_of(FIGURES, PLAYING), look=Look(icons="off"),
                         hints=("P goes on, Esc opens the menu", ""))  # fmt: skip
    assert card.center == pytest.approx((size[0] / 2, size[1] / 2), abs=1)
    assert card.collidelist(others) == -1


@pytest.mark.parametrize("size", SIZES)
def test_cards_are_no_wider_than_the_window(size):
    failed = replace(PLAYING, state=State.FAILED, words="no memory left " * 30)
    assert pygame.Rect((0, 0), size).contains(laid(size, status=failed)[-1])


@pytest.mark.parametrize("size", SIZES)
def test_the_bar_of_a_replay_keeps_clear_of_icons_and_numbers(size):
    replayed = replace(PLAYING, recording=False, replay=ReplayFigures("x", 20.0, 60.0))
    parts = laid(size, status=replayed, advice=None, numbers=numbers_of(FIGURES, PLAYING))
    for i, part in enumerate(parts):
        assert pygame.Rect((0, 0), size).contains(part) and part.collidelist(parts[i + 1 :]) == -1


@pytest.mark.parametrize("size", SIZES)
def test_the_keys_of_the_first_start_stay_inside(size):
    surface, paint = pygame.display.set_mode(size), Painter()
    assert pygame.Rect((0, 0), size).contains(Hud(paint).keys(surface, KEYS, 1.0))


def test_a_new_picture_under_the_same_words_renders_and_measures_no_text():
    class Counting(Painter):
        asked = 0

        def _render(self, *arguments):
            Counting.asked += 1
            return super()._render(*arguments)

        def _measure(self, *arguments):
            Counting.asked += 1
            return super()._measure(*arguments)

    surface, paint = pygame.display.set_mode((640, 400)), Counting()
    view = View(paint, Hud(paint))
    same = {"remark": "Scene: hall", "numbers": numbers_of(FIGURES, PLAYING), "keys": KEYS, "keys_strength": 0.5}
    view.draw(surface, scenery((640, 400), **same))
    asked = Counting.asked
    assert asked > 10
    view.draw(surface, scenery((640, 400), picture=Picture(BLACK.pixels, 1, BLACK.control), **same))
    assert Counting.asked == asked


def test_words_of_a_failure_may_hold_anything():
    words = "bad \0 byte \ud800 and \U0001f600 " + "x" * 500
    assert laid((640, 400), status=replace(PLAYING, state=State.FAILED, words=words))


def test_the_deadline_of_the_numbers_is_the_slowed_clocks():
    def deadline(speed: float) -> str:
        figures = replace(FIGURES, pace=replace(FIGURES.pace, speed=speed))
        return {name: value for name, value, _ in numbers_of(figures, PLAYING).rows}["deadline"]

    assert deadline(1.0).startswith("50 ms") and deadline(0.25).startswith("200 ms")


def test_lengths_are_written_as_people_do():
    assert [clock_words(s) for s in (0, 59.9, 60, 3599, 3661)] == ["0:00", "0:59", "1:00", "59:59", "1:01:01"]


def test_whole_pixels_are_all_of_one_size_and_in_the_middle():
    surface = pygame.display.set_mode((640, 400))
    checks = np.indices((80, 144)).sum(0)[..., None].repeat(3, 2) % 2 * 255
    paint, status = Painter(), replace(PLAYING, recording=False)
    picture = Picture(checks.astype(np.uint8), 0)
    look = Look(scale="whole", icons="off")
    View(paint, Hud(paint)).draw(surface, Scenery(picture, status, False, (640, 400), look=look))
    pixels = pygame.surfarray.array3d(surface)[..., 0].T
    assert (pixels[40 : 40 + 320, 32 : 32 + 576] == np.kron(checks[..., 0], np.ones((4, 4)))).all()


def test_text_grows_with_the_window_and_with_what_a_person_asks_for():
    units = [text_unit(*size) for size in ((200, 150), (640, 400), (1280, 720), (2560, 1440), (3840, 2160))]
    assert units == sorted(units) and units[0] >= 9 and 11 <= units[1] <= 14 and units[-1] >= 40
    assert len({text_unit(1280, 720, times) for times in TEXT_SIZES.values()}) == len(TEXT_SIZES)
    assert text_unit(200, 150, 1.25) * 10 <= 150


def test_a_bar_of_unknown_length_moves_and_shows_no_share():
    size = (640, 400)
    surface, paint = pygame.display.set_mode(size), Painter()
    view, lit = View(paint, Hud(paint)), []
    backdrop = replace(BLACK, backdrop=True)
    for beat in range(0, BEATS, 4):
        view.draw(surface, Scenery(backdrop, Status(words="Starting torch"), False, size, beat=beat))
        pixels = pygame.surfarray.array3d(surface)
        lit.append(np.flatnonzero((pixels == ACCENT).all(axis=2).any(axis=1)))
    assert len({len(columns) for columns in lit}) <= 2, "always as long"
    assert len({columns[0] for columns in lit}) >= 5, "and always elsewhere"
    assert abs(lit[0][0] - lit[-1][0]) < 40, "it comes back"


def test_a_moving_bar_draws_the_dimmed_picture_once_on_the_window_and_once_to_be_kept(monkeypatch):
    size, drawn = (640, 400), []
    surface, paint = pygame.display.set_mode(size), Painter()
    view, backdrop = View(paint, Hud(paint)), replace(BLACK, backdrop=True)
    enlarge = pygame.transform.smoothscale
    monkeypatch.setattr(pygame.transform, "smoothscale", lambda *args: drawn.append(1) or enlarge(*args))
    for beat in range(10):
        view.draw(surface, Scenery(backdrop, Status(words="Starting torch"), False, size, beat=beat))
    assert len(drawn) == 2


def test_a_mild_advice_is_no_warning_and_keeps_its_key():
    mild, warning = (passing_lines(scenery((640, 400), advice=replace(ADVICE, mild=mild)))[0] for mild in (True, False))
    assert (mild[1], warning[1]) == (False, True) and mild[2] == warning[2] == "F4"


class Told:
    """A player whose figures a test chooses."""

    def __init__(self) -> None:
        self.status, self.possible, self.paused, self.paces = replace(PLAYING, pace=0.6), 0.6, False, []

    def figures(self, now):
        return replace(FIGURES, pace=replace(FIGURES.pace, pace=self.status.pace, possible=self.possible))

    def set_pace(self, share):
        self.paces.append(share)
        self.status = replace(self.status, pace=share)


def test_a_slowed_clock_goes_back_to_full_speed_once_the_machine_keeps_up_for_a_while():
    player = Told()
    presenter = Presenter(SimpleNamespace(player=player, steered=False, advice=None), SimpleNamespace())

    def play(seconds, since):
        for quarter in range(int(4 * seconds)):
            presenter.note(since + quarter / 4)

    play(20, 0.0)
    assert not player.paces, "it does not keep up"
    player.possible = 1.0
    play(4, 20.0)
    player.possible = 0.9
    play(1, 24.0)
    player.possible = 1.0
    play(4, 25.0)
    assert not player.paces, "not for long enough at a time"
    play(3, 29.0)
    assert player.paces == [1.0]
    play(20, 40.0)
    assert player.paces == [1.0], "and then it is left alone"


def test_what_lies_over_the_picture_changes_without_the_picture_being_enlarged_again(monkeypatch):
    size, drawn = (1280, 720), []
    surface, paint = pygame.display.set_mode(size), Painter()
    view = View(paint, Hud(paint))
    plain = scenery(size, advice=None, status=replace(PLAYING, recording=False))
    remark = replace(plain, remark="Scene: garden")
    assert view.draw(surface, plain) is None, "all of the window"
    before = pygame.surfarray.array3d(surface)
    view.draw(surface, remark)
    enlarge = pygame.transform.smoothscale
    monkeypatch.setattr(pygame.transform, "smoothscale", lambda *args: drawn.append(1) or enlarge(*args))
    areas = view.draw(surface, plain)
    assert not drawn and areas and sum(a.width * a.height for a in areas) < size[0] * size[1] / 4
    assert (pygame.surfarray.array3d(surface) == before).all(), "and nothing of the remark is left"


def test_the_window_is_drawn_whole_again_when_the_system_has_drawn_over_it():
    size = (640, 400)
    surface, paint = pygame.display.set_mode(size), Painter()
    view = View(paint, Hud(paint))
    view.draw(surface, scenery(size))
    before = pygame.surfarray.array3d(surface)
    surface.fill((1, 2, 3))
    view.forget()
    assert view.draw(surface, scenery(size)) is None
    assert (pygame.surfarray.array3d(surface) == before).all()
