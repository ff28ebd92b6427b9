"""The page in a real browser, on a real server with the embedded model: keys pressed there are what the world gets."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from game.remote import wire
from tests.game.fakes import FakeWorld, landscape
from tests.game.remote.browser import CHROMIUM, Browser
from tests.game.remote.house import KEY, ServerThread, wait_until

ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
PICTURE = "document.getElementById('view').toDataURL()"
PLAYING = "told && told.state === 'playing' && shownTimes.length > 3"


def pixels(png: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)


async def canvas(page: Browser) -> np.ndarray:
    return pixels(base64.b64decode((await page.run(PICTURE)).partition(",")[2]))


class Served:
    """`python -m game --serve` in a process of its own."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.root = folder / "recordings"
        command = [sys.executable, "-m", "game", "--serve", "--port", "0", f"record.root={self.root}", *words]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder, env=environment
        )
        self.address = self._process.stdout.readline().strip()  # type: ignore[union-attr]
        assert self.address.startswith("http://127.0.0.1:"), self._process.stderr.read()  # type: ignore[union-attr]
        self.url, _, self.key = self.address.partition("/#")

    def reports(self) -> list[Path]:
        """Of the recordings that are finished."""
        return [path for path in self.root.glob("*/report.json") if not path.parent.name.startswith(".")]

    def stop(self) -> tuple[int, str, str]:
        """As Ctrl-C does."""
        self._process.send_signal(signal.SIGINT)
        out, err = self._process.communicate(timeout=60)
        return self._process.returncode, out, err


def test_keys_pressed_in_a_browser_arrive_in_the_recording(tmp_path):
    served = Served(tmp_path)

    async def go():
        async with Browser(tmp_path / "profile") as page:
            await page.open(served.address)
            await page.until(PLAYING, 90)
            assert await page.run("location.href") == served.url + "/"  # the key is gone from the address
            assert await page.run("document.cookie") == ""
            before = await canvas(page)
            await page.key("KeyO", True)
            await page.key("KeyO", False)
            await page.until("told.recording")
            await page.key("KeyW", True)
            await page.key("ArrowRight", True, "ArrowRight")
            newest = await page.run("have")
            await page.until(f"have >= {newest} + 24")
            await page.key("KeyW", False)
            await page.key("ArrowRight", False, "ArrowRight")
            after = await canvas(page)
            await page.key("KeyI", True)
            await page.key("KeyI", False)
            await page.until("!document.getElementById('numbers').hidden && lines.length > 0")
            numbers = await page.run("drawNumbers(), document.getElementById('numbers').textContent")
            shot = await page.screenshot()
            if folder := os.environ.get("SHOTS"):
                Path(folder, "page.png").write_bytes(shot)
            await page.key("KeyO", True)
            await page.key("KeyO", False)
            await page.until("!told.recording")
            listed = await page.run("get('/recordings').then((r) => r.json())")
            return before, after, numbers, shot, listed, page.said

    try:
        before, after, numbers, shot, listed, said = asyncio.run(go())
    finally:
        code, out, err = served.stop()
    assert code == 0, err
    assert not said
    assert np.abs(before.astype(int) - after).mean() > 8.0  # the picture changed
    # What the browser shows of it is the picture that came: sampled at the middle, wherever the page puts it.
    seen = pixels(shot)
    assert seen.shape == (800, 1100, 3)
    assert seen[200:600, 300:800].std() > 10.0
    assert "key to picture" in numbers
    assert "network" in numbers
    (folder,) = [path for path in served.root.iterdir() if not path.name.startswith(".")]
    lines = [json.loads(line) for line in (folder / "actions.jsonl").read_text().splitlines()[1:]]
    pressed = [line for line in lines if line["keys"] == ["W"] and line["mouse"] and line["mouse"][1] > 0.05]
    assert len(pressed) >= 8
    assert [one["id"] for one in listed] == [folder.name]
    assert (folder / "report.json").exists()
    assert served.key not in out + err
    assert served.key not in "".join(path.read_text(errors="replace") for path in folder.glob("*.json*"))


def test_everything_on_the_page_does_what_it_says(tmp_path):
    with ServerThread(tmp_path, FakeWorld(fps=20.0), watch=True) as server:

        async def go():
            async with Browser(tmp_path / "profile") as page:
                await page.open(server.address)
                await page.until(PLAYING)
                click = "document.getElementById('{}').click()"
                await page.run(click.format("pause"))
                assert await page.run("paused()") is True
                steps = [-1]
                while steps[-1] != server.world.steps:  # what was asked for before comes; then the world waits
                    assert len(steps) < 200
                    steps.append(server.world.steps)
                    await asyncio.sleep(0.3)
                await page.run(click.format("pause"))
                await page.until("shownTimes.length > 6")
                await page.run(click.format("save"))
                await page.until("told.saved")
                await page.run(click.format("load"))
                await page.until("epoch > 0 && pending() > 0")
                await page.run("rewind()")
                await asyncio.sleep(0.3)
                assert await page.run("backTo !== null")
                await page.run("letGo()")
                await page.until(f"backTo === null && ({PLAYING})")
                assert "restore" in server.world.log
                await page.run(click.format("restart"))
                assert wait_until(lambda: len(server.world.rollouts) == 2)
                await page.until("told.other_world")
                await page.run(click.format("other"))
                await page.until(f"{PLAYING} && told.state === 'playing'")
                await page.run(click.format("anchor"))
                assert await asyncio.to_thread(wait_until, lambda: len(server.world.rollouts) == 3)
                await page.run(click.format("scenes"))
                await page.until("document.querySelectorAll('#scenelist img').length === 2")
                await page.until("[...document.querySelectorAll('#scenelist img')].every((i) => i.naturalWidth > 0)")
                await page.run("document.querySelectorAll('#scenelist button')[1].click()")
                await page.until("told.scene === 'court' && told.state === 'playing'")
                data = base64.b64encode(cv2.imencode(".png", landscape(90, 160, 0.4, 0.0))[1].tobytes()).decode()
                await page.run(f"offer(new File([Uint8Array.from(atob('{data}'), (c) => c.charCodeAt(0))], "
                               "'mine.png', {type: 'image/png'}))")  # fmt: skip
                await page.until("document.getElementById('d-picture').open")
                await page.run("document.getElementById('p-go').click()")
                await page.until("told.scene === 'yours' && told.state === 'playing'")
                await page.run(click.format("recordings"))
                await page.until("document.getElementById('recordinglist').textContent.includes('none')")
                await page.run("document.querySelector('#d-recordings [data-close]').click()")
                await page.run("moved(60, 0)")
                assert await asyncio.to_thread(wait_until, lambda: turned() > 0.0)
                return page.said

        def turned() -> float:
            return sum(mouse[1] for _, mouse in server.world.taken)

        assert asyncio.run(go()) == []
        assert turned() == pytest.approx(0.1, abs=1e-3)
        assert len(list((server.root / ".inbox").iterdir())) == 1


async def middle(page: Browser) -> tuple[float, float]:
    """Of the picture."""
    where = json.loads(await page.run("JSON.stringify(document.getElementById('view').getBoundingClientRect())"))
    return where["x"] + where["width"] / 2, where["y"] + where["height"] / 2


async def capture(page: Browser) -> tuple[float, float]:
    """A click on the picture: the mouse is the world's. Returns where it is."""
    x, y = await middle(page)
    for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
        await page.mouse(kind, x, y)
    await page.until("captured()")
    return x, y


async def tap(page: Browser, code: str) -> None:
    await page.key(code, True)
    await page.key(code, False)


@pytest.fixture
def any_key(tmp_path):
    """A server whose world takes any key."""
    with ServerThread(tmp_path, FakeWorld(mode="keyboard_mouse", fps=20.0)) as server:
        yield server


async def told(server: ServerThread, *keys: str) -> None:
    """Waits until just these keys are held."""
    assert await asyncio.to_thread(wait_until, lambda: server.world.taken[-1][0] == keys), server.world.taken[-1]


def test_a_world_of_any_key_has_them_all_while_it_has_the_mouse(any_key, tmp_path):
    codes = {"Space": "SPACE", "ShiftLeft": "SHIFT", "KeyF": "F", "KeyK": "K", "KeyP": "P", "Backspace": "BACKSPACE",
             "Digit7": "7", "Numpad5": "NUM_5", "Semicolon": "SEMICOLON", "AltRight": "R_ALT", "KeyA": "A"}  # fmt: skip

    async def go():
        async with Browser(tmp_path / "profile") as page:
            await page.open(any_key.address)
            await page.until(PLAYING)
            x, y = await capture(page)
            await page.until("document.getElementById('remark').textContent.includes('Esc')")
            for code, name in codes.items():
                await page.key(code, True)
                await told(any_key, name)
                await page.key(code, False)
                await told(any_key)
            await page.key("ControlLeft", True, "Control", ctrl=True)
            await page.key("KeyW", True, ctrl=True)
            await told(any_key, "W", "CTRL")
            asked = await page.run("!dispatchEvent(new Event('beforeunload', {cancelable: true}))")
            await page.key("KeyW", False, ctrl=True)
            await page.key("ControlLeft", False, "Control")
            for button, name in {"left": "MOUSE_LEFT", "right": "MOUSE_RIGHT", "middle": "MOUSE_MIDDLE"}.items():
                await page.mouse("mousePressed", x, y, button)
                await told(any_key, name)
                await page.mouse("mouseReleased", x, y, button)
                await told(any_key)
            for down in (False, True, True):
                await page.wheel(x, y, down)
            turned = ["WHEEL_UP", "WHEEL_DOWN", "WHEEL_DOWN"]
            wheel = [("WHEEL_UP",), ("WHEEL_DOWN",)]
            assert await asyncio.to_thread(
                wait_until, lambda: [k for keys, _ in any_key.world.taken for k in keys if keys in wheel][:3] == turned
            )
            state = await page.run("[paused(), !!document.fullscreenElement, told.saved, backTo, captured()]")
            press = "for (const key of space.keys.slice(20, 60)) press(key, 'test');"
            most = await page.run(f"(() => {{ {press} const row = sample(1)[0]; releaseAll(); return row.keys; }})()")
            return asked, state, most, page.said

    asked, state, most, said = asyncio.run(go())
    assert asked and said == []
    assert len(most) == wire.MOST_HELD
    assert state in ([False, False, saved, None, True] for saved in (False, None))  # no command was given
    assert not [keys for keys, _ in any_key.world.taken if len(keys) > 2]


def test_commands_of_the_page_come_back_with_the_mouse(any_key, tmp_path):
    async def go():
        async with Browser(tmp_path / "profile") as page:
            await page.open(any_key.address)
            await page.until(PLAYING)
            await tap(page, "KeyK")  # free: a command
            await page.until("told.saved")
            await page.key("Space", True, " ")  # what is no command is the world's
            await told(any_key, "SPACE")
            await page.key("Space", False, " ")
            await page.key("ArrowRight", True, "ArrowRight")
            step = any_key.world.action_space.look
            assert await asyncio.to_thread(wait_until, lambda: any_key.world.taken[-1][1] == (0.0, step))
            await page.key("ArrowRight", False, "ArrowRight")
            await capture(page)
            await page.mouse("mousePressed", *await middle(page))
            await page.key("KeyL", True)
            await told(any_key, "MOUSE_LEFT", "L")
            await page.run("document.exitPointerLock()")
            await page.until("!captured()")
            await told(any_key)
            await page.key("KeyL", False)
            await tap(page, "KeyP")
            assert await page.run("paused()")
            await tap(page, "KeyP")
            await page.run("document.getElementById('keys').focus()")
            await page.key("Space", True, " ")  # of a button that has the focus
            assert not await page.run("held.has('SPACE')")
            await page.key("Space", False, " ")
            await page.run("actions.keys()")
            words = await page.run("document.getElementById('d-keys').innerText")
            return words, page.said

    words, said = asyncio.run(go())
    assert said == []
    assert "any other key" in words and "Esc has given it back" in words


@pytest.mark.parametrize("how", ["dispatchEvent(new Event('blur'))", "hidden"])
def test_nothing_stays_held_when_the_page_is_left(any_key, tmp_path, how):
    hide = "Object.defineProperty(document, 'hidden', {get: () => true, configurable: true}); " \
           "document.dispatchEvent(new Event('visibilitychange'))"  # fmt: skip

    async def go():
        async with Browser(tmp_path / "profile") as page:
            await page.open(any_key.address)
            await page.until(PLAYING)
            x, y = await capture(page)
            await page.key("KeyK", True)
            await page.mouse("mousePressed", x, y)
            await page.until("held.has('K') && held.has('MOUSE_LEFT')")
            await page.run(hide if how == "hidden" else how)
            return await page.run("held.size")

    assert asyncio.run(go()) == 0


def test_a_world_of_few_keys_leaves_the_others_to_the_page(tmp_path):
    with ServerThread(tmp_path, FakeWorld(fps=20.0)) as server:

        async def go():
            async with Browser(tmp_path / "profile") as page:
                await page.open(server.address)
                await page.until(PLAYING)
                x, y = await capture(page)
                for code in ("Space", "ShiftLeft"):
                    await tap(page, code)
                await page.mouse("mousePressed", x, y)
                await page.wheel(x, y)
                await tap(page, "KeyK")
                await page.until("told.saved")
                await page.key("KeyW", True, ctrl=True)
                assert await page.run("held.size + taps.length") == 0
                await page.key("KeyW", True)
                await told(server, "W")
                await page.run("actions.keys()")
                return await page.run("document.getElementById('any-dd').hidden"), page.said

        assert asyncio.run(go()) == (True, [])


def walks_and_turns(taken) -> bool:
    keys, mouse = taken
    return keys == ("W",) and mouse[1] > 0.05


def test_a_phone_has_two_sticks_and_words_that_can_be_read(tmp_path):
    with ServerThread(tmp_path, FakeWorld(fps=20.0)) as server:

        async def go():
            async with Browser(tmp_path / "profile", 390, 780, mobile=True) as page:
                await page.open(server.address)
                await page.until(PLAYING)
                await page.until("document.body.classList.contains('touch')")
                where = "JSON.stringify(document.getElementById('{}').getBoundingClientRect())"
                walk, look = [json.loads(await page.run(where.format(name))) for name in ("walk", "look")]
                middle = [(r["x"] + r["width"] / 2, r["y"] + r["height"] / 2) for r in (walk, look)]
                up = (middle[0][0], middle[0][1] - walk["height"] * 0.45)
                right = (middle[1][0] + look["width"] * 0.45, middle[1][1])
                await page.touch("touchStart", *middle)
                await page.touch("touchMove", up, right)
                assert await asyncio.to_thread(wait_until, lambda: any(map(walks_and_turns, server.world.taken)))
                shot = await page.screenshot()
                await page.touch("touchEnd")
                if folder := os.environ.get("SHOTS"):
                    Path(folder, "phone.png").write_bytes(shot)
                sizes = await page.run(
                    "[...document.querySelectorAll('footer button')].map((b) => "
                    "[b.getBoundingClientRect().height, b.scrollWidth <= b.clientWidth + 1, "
                    "b.getBoundingClientRect().right <= innerWidth])"
                )
                wide = await page.run("document.documentElement.scrollWidth")
                return walk, look, sizes, wide, page.said

        walk, look, sizes, wide, said = asyncio.run(go())
    assert said == []
    assert walk["x"] + walk["width"] < look["x"]
    assert wide <= 390
    assert all(height >= 40 and fits and inside for height, fits, inside in sizes)


def test_who_comes_second_on_the_page_may_watch_or_ask(tmp_path):
    with ServerThread(tmp_path, FakeWorld(fps=20.0), watch=True) as server:

        async def go():
            async with Browser(tmp_path / "1") as page, Browser(tmp_path / "2") as other:
                await page.open(server.address)
                await page.until(PLAYING)
                await other.open(server.address)
                await other.until("document.getElementById('d-busy').open")
                await other.run("document.getElementById('b-watch').click()")
                await other.until("role === 'watch' && shownTimes.length > 3")
                await other.run("role = 'play'; connect()")
                await other.until("document.getElementById('d-busy').open")
                await other.run("document.getElementById('b-ask').click()")
                await page.until("document.getElementById('d-asked').open")
                await page.run("document.getElementById('a-yes').click()")
                await other.until("role === 'play' && !document.getElementById('d-busy').open && welcome")
                await page.until("document.getElementById('words').textContent.includes('elsewhere')")
                return page.said + other.said

        assert asyncio.run(go()) == []


def test_the_page_is_accessible(tmp_path):
    """Every control has a name and a role, the order of focus is that of the page, and words stand out."""
    with ServerThread(tmp_path, FakeWorld(fps=20.0)) as server:

        async def go():
            async with Browser(tmp_path / "profile") as page:
                await page.open(server.address)
                await page.until(PLAYING)
                tree = (await page.call("Accessibility.getFullAXTree"))["nodes"]
                order = []
                for _ in range(16):
                    tab = {"type": "keyDown", "key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9}
                    await page.call("Input.dispatchKeyEvent", **tab)
                    order.append(await page.run("document.activeElement.id"))
                outline = await page.run("getComputedStyle(document.activeElement).outlineStyle")
                colours = await page.run(
                    "[...document.querySelectorAll('button, header, #where, #words, dt, dd, p, h1, h2')].map((e) => {"
                    "const s = getComputedStyle(e); let b = e, c; do { c = getComputedStyle(b).backgroundColor; "
                    "b = b.parentElement } while (b && /, 0\\)$|transparent/.test(c)); return [s.color, c]; })"
                )
                language = await page.run("document.documentElement.lang")
                return tree, order, outline, colours, language

        tree, order, outline, colours, language = asyncio.run(go())
    roles = ("button", "textbox", "combobox", "link", "image", "img")
    controls = [node for node in tree if node.get("role", {}).get("value") in roles and not node.get("ignored")]
    assert len(controls) >= 14
    assert all(node["name"]["value"].strip() for node in controls)
    assert language == "en"
    assert "view" in order
    assert order.index("pause") < order.index("restart") < order.index("keys")
    assert outline != "none"
    for fore, back in colours:
        assert contrast(fore, back) >= 4.5, (fore, back)


def contrast(fore: str, back: str) -> float:
    """As WCAG 2 has it."""

    def light(colour: str) -> float:
        parts = [float(v) for v in colour[colour.index("(") + 1 : -1].replace("/", ",").split(",")][:3]
        linear = [v / 255 / 12.92 if v / 255 <= 0.03928 else ((v / 255 + 0.055) / 1.055) ** 2.4 for v in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((light(fore), light(back)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_a_wrong_key_is_asked_for_again(tmp_path):
    with ServerThread(tmp_path) as server:

        async def go():
            async with Browser(tmp_path / "profile") as page:
                await page.open(server.url + "/#" + "wrong" * 8)
                await page.until("document.getElementById('d-key').open")
                await page.run(f"document.getElementById('keytext').value = '{server.address}'")
                await page.run("document.getElementById('keyok').click()")
                await page.until(PLAYING)
                return await page.run("location.href"), await page.run("document.body.innerHTML")

        address, text = asyncio.run(go())
    assert address == server.url + "/"
    assert KEY not in text


def test_mouse_gamepad_drop_and_paste_reach_the_world(tmp_path):
    """As a browser hands them over: a real click and real motion; a pad, files dropped and files pasted stand in."""
    with ServerThread(tmp_path, FakeWorld(fps=20.0)) as server:
        taken = server.world.taken
        picture = base64.b64encode(cv2.imencode(".png", landscape(90, 160, 0.4, 0.0))[1].tobytes()).decode()
        carried = (
            f"(() => {{ const bytes = Uint8Array.from(atob('{picture}'), (c) => c.charCodeAt(0));"
            "const d = new DataTransfer(), f = new File([bytes], 'mine.png', {type: 'image/png'});"
            "d.items.add(f); return d; })()"
        )

        async def given(page: Browser) -> None:
            """Takes the picture that is offered, and waits for its world."""
            await page.until("document.getElementById('d-picture').open")
            await page.run("document.getElementById('p-go').click()")
            await page.until("told.scene === 'yours' && told.state === 'playing'")
            await page.run("actions.next()")
            await page.until(f"told.scene !== 'yours' && ({PLAYING})")

        async def go():
            async with Browser(tmp_path / "profile") as page:
                await page.open(server.address)
                await page.until(PLAYING)

                # the mouse: a click takes it, motion looks, a menu gives it back
                x, y = await capture(page)
                for step in range(1, 6):
                    await page.mouse("mouseMoved", x + 12 * step, y - 6 * step)
                assert await asyncio.to_thread(wait_until, lambda: any(m[1] > 0 for _, m in taken))
                turned = [sum(m[i] for _, m in taken) for i in (0, 1)]
                await page.run("pause(true)")
                await page.until("!document.pointerLockElement")
                await page.run("pause(false)")

                # a pad: sticks walk and look, a button restarts
                await page.run(
                    "navigator.getGamepads = () => [{connected: true, axes: window.axes, "
                    "buttons: Array.from({length: 16}, (_, i) => ({pressed: i === window.button}))}];"
                    "window.axes = [0, -1, 1, 0]; window.button = -1;"
                )
                assert await asyncio.to_thread(
                    wait_until, lambda: any(keys == ("W",) and m[1] > 0.05 for keys, m in taken)
                )
                await page.run("window.axes = [0, 0, 0, 0]")
                assert await asyncio.to_thread(wait_until, lambda: not taken[-1][0] and not any(taken[-1][1]))
                worlds = len(server.world.rollouts)
                await page.run("window.button = 3")
                assert await asyncio.to_thread(wait_until, lambda: len(server.world.rollouts) == worlds + 1)
                await page.run("delete navigator.getGamepads")
                await page.until(PLAYING)

                # pictures: dropped, then pasted; and what is none is told
                await page.run(f"dispatchEvent(new DragEvent('drop', {{dataTransfer: {carried}, bubbles: true}}))")
                await given(page)
                await page.run(f"dispatchEvent(new ClipboardEvent('paste', {{clipboardData: {carried}}}))")
                await given(page)
                await page.run("offer(new File(['no'], 'mine.txt', {type: 'text/plain'}))")
                words = await page.run("document.getElementById('remark').textContent")
                return turned, words, page.said

        turned, words, said = asyncio.run(go())
        assert said == []
        assert "PNG, JPEG or WebP" in words
        assert turned[0] > 0.0  # up
        assert turned[1] > 0.0  # right
        assert len(list((server.root / ".inbox").iterdir())) == 1  # the same picture twice
