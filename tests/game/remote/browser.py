"""A headless Chromium, driven by its DevTools protocol over one WebSocket: for tests of the page."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import aiohttp

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
    "--mute-audio", "--hide-scrollbars",
    "--disable-dev-shm-usage", "--remote-debugging-port=0",
)  # fmt: skip


class Browser:
    """One page. Use as `async with Browser(profile, width, height) as page`."""

    def __init__(self, profile: Path, width: int = 1100, height: int = 800, mobile: bool = False) -> None:
        self._profile, self._size, self._mobile = profile, (width, height), mobile
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future] = {}
        self.said: list[str] = []  # what the page wrote to its console, and what went wrong in it

    async def __aenter__(self) -> Browser:
        assert CHROMIUM is not None
        size = f"--window-size={self._size[0]},{self._size[1]}"
        command = [CHROMIUM, *_FLAGS, size, f"--user-data-dir={self._profile}", "about:blank"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._session = aiohttp.ClientSession()
        port = self._profile / "DevToolsActivePort"
        for _ in range(1800):
            if port.exists() and len(port.read_text().split()) == 2:
                break
            await asyncio.sleep(0.05)
        number = port.read_text().split()[0]
        async with self._session.get(f"http://127.0.0.1:{number}/json") as answer:
            page = next(one for one in await answer.json() if one["type"] == "page")
        self._socket = await self._session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0)
        self._reader = asyncio.create_task(self._read())
        for domain in ("Page", "Runtime", "Log", "Accessibility"):
            await self.call(f"{domain}.enable")
        await self.resize(*self._size, mobile=self._mobile)
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await asyncio.wait_for(self.call("Browser.close"), 5)
        except (asyncio.TimeoutError, ConnectionError):
            self._process.kill()
        self._reader.cancel()
        await self._session.close()
        await asyncio.to_thread(self._process.wait, 60)

    async def call(self, method: str, **params: Any) -> dict:
        """One command of the DevTools protocol, and its answer."""
        number = next(self._ids)
        self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        answer = await asyncio.wait_for(self._answers[number], 60)
        if "error" in answer:
            raise AssertionError(f"{method}: {answer['error']}")
        return answer["result"]

    async def run(self, script: str) -> Any:
        """The value of an expression, awaited if it is a promise."""
        how = {"awaitPromise": True, "returnByValue": True, "userGesture": True}
        answer = await self.call("Runtime.evaluate", expression=script, **how)
        if "exceptionDetails" in answer:
            raise AssertionError(json.dumps(answer["exceptionDetails"])[:500])
        return answer["result"].get("value")

    async def until(self, script: str, seconds: float = 60.0) -> Any:
        """Waits for an expression to become true; what the page does not have yet is not."""
        guarded = f"(() => {{ try {{ return {script}; }} catch {{ return false; }} }})()"
        for _ in range(int(seconds / 0.05)):
            if value := await self.run(guarded):
                return value
            await asyncio.sleep(0.05)
        words = await self.run("document.body.innerText")
        raise AssertionError(f"waited in vain for {script}; the page says: {words[:400]}; {self.said[-5:]}")

    async def open(self, address: str) -> None:
        """Goes to an address."""
        await self.call("Page.navigate", url=address)

    async def key(self, code: str, down: bool, key: str | None = None, ctrl: bool = False) -> None:
        """A key goes down or up, as hardware does it. code: as KeyboardEvent.code. ctrl: while Ctrl is held."""
        how = {"code": code, "key": key or code.removeprefix("Key").lower(), "modifiers": 2 if ctrl else 0}
        await self.call("Input.dispatchKeyEvent", type="keyDown" if down else "keyUp", **how)

    async def mouse(self, kind: str, x: float, y: float, button: str = "left") -> None:
        """The mouse: kind is mouseMoved, mousePressed or mouseReleased, of a button."""
        pressed = {} if kind == "mouseMoved" else {"button": button, "clickCount": 1}
        await self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **pressed)

    async def wheel(self, x: float, y: float, down: bool = True) -> None:
        """The wheel turns by a notch."""
        how = {"x": x, "y": y, "deltaX": 0, "deltaY": 120 if down else -120}
        await self.call("Input.dispatchMouseEvent", type="mouseWheel", **how)

    async def touch(self, kind: str, *points: tuple[float, float]) -> None:
        """A finger: kind is touchStart, touchMove or touchEnd."""
        touches = [{"x": x, "y": y} for x, y in points]
        await self.call("Input.dispatchTouchEvent", type=kind, touchPoints=touches)

    async def resize(self, width: int, height: int, mobile: bool = False) -> None:
        """Another window, or a phone."""
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile
        )
        await self.call("Emulation.setTouchEmulationEnabled", enabled=mobile)

    async def screenshot(self) -> bytes:
        """What is seen, PNG."""
        return base64.b64decode((await self.call("Page.captureScreenshot", format="png"))["data"])

    async def _read(self) -> None:
        async for message in self._socket:
            data = json.loads(message.data)
            if (number := data.get("id")) in self._answers:
                self._answers.pop(number).set_result(data)
            elif data.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.said.append(json.dumps(data["params"])[:400])
            elif data.get("method") == "Runtime.consoleAPICalled":
                self.said.append(json.dumps(data["params"]["args"])[:400])
