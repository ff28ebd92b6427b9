"""A hub on the loopback: answers what Hugging Face answers about files and hands them out, with faults on demand."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from game.models.download import Remote

REPOSITORY = "Skywork/Matrix-Game-2.0"

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """Files by name, and how it misbehaves.

    cut: so many answers break off in the middle. ranges: whether it can begin in the middle. wrong: files it hands out
    damaged. asked: (method, name, first byte) of every request.
    """

    files: dict[str, bytes]
    cut: int = 0
    ranges: bool = True
    wrong: set[str] = field(default_factory=set)
    asked: list[tuple[str, str, int]] = field(default_factory=list)
    agents: list[str] = field(default_factory=list)  # who asked for bytes
    url: str = ""

    def __enter__(self) -> Hub:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def ask(self, repository: str, name: str, revision: str | None) -> Remote:
        """What a hub's library would find out about a file."""
        assert (repository, revision) == (REPOSITORY, None)
        return self.remote(name)

    def remote(self, name: str) -> Remote:
        """Where a file is."""
        content = self.files[name]
        return Remote(name, f"{self.url}/{REPOSITORY}/resolve/{COMMIT}/{name}", len(content), sha256(content))

    def fetched(self) -> Counter:
        """How often each file was asked for."""
        return Counter(name for method, name, _ in self.asked if method == "GET")


def sha256(content: bytes) -> str:
    """In hex."""
    return hashlib.sha256(content).hexdigest()


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, body: bool) -> None:
            if self.path == f"/api/models/{REPOSITORY}/commits/main":
                self._tell_commits()
                return
            head, _, rest = self.path.partition("/resolve/")
            revision, _, name = rest.partition("/")
            if head != f"/{REPOSITORY}" or revision not in ("main", COMMIT) or name not in hub.files:
                self.send_error(404)
                return
            content = hub.files[name]
            asked = self.headers.get("Range")
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and hub.ranges else 0
            hub.asked.append((self.command, name, start))
            hub.agents += [self.headers["User-Agent"]] if body else []
            self.send_response(206 if start else 200)
            told = {"X-Repo-Commit": COMMIT, "X-Linked-Etag": f'"{sha256(content)}"', "X-Linked-Size": len(content)}
            for key, value in (told | {"ETag": '"weak"', "Content-Length": len(content) - start}).items():
                self.send_header(key, str(value))
            self.end_headers()
            if body:
                sent = bytes(len(content) - start) if name in hub.wrong else content[start:]
                if hub.cut:
                    hub.cut -= 1
                    sent = sent[: len(sent) // 2]
                    self.close_connection = True
                self.wfile.write(sent)

        def _tell_commits(self) -> None:
            told = {"authors": [], "date": "2026-07-16T00:00:00.000Z", "title": "", "message": ""}
            content = json.dumps([told | {"id": commit} for commit in (COMMIT[::-1], COMMIT)]).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    return Handler
