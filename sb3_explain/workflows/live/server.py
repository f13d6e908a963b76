"""The local server of a page that is filled on request: what it answers, and to whom."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import selectors
import socket
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from sb3_explain.common.errors import ExplainError
from sb3_explain.common.untrusted import one_line
from sb3_explain.report.live_page import LivePage
from sb3_explain.states.parts import Part
from sb3_explain.workflows.live.chunks import AbsentError, Chunks
from sb3_explain.workflows.live.guard import Guard, quote_host
from sb3_explain.workflows.live.mapper import Mapper, Question
from sb3_explain.workflows.live.queue import Job, Queue

logger = logging.getLogger(__name__)

#: seconds that a connection may be silent, and between two signs of life of a stream
SILENCE, BEAT = 60, 0.5
#: the largest number of episodes of one list
MAX_LISTED = 100
#: headers of every answer, beside the policy
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
}
#: numbers that a request names
Numbers = dict[str, int]
JSON, TEXT, BYTES = "application/json", "text/plain; charset=utf-8", "application/octet-stream"
_NUMBER = r"(\d{1,9})"


class LiveServer(ThreadingHTTPServer):
    """Answers requests for one page and for what it shows.

    :param host: address or name to bind to
    :param port: port; 0 for any that is free
    :param page: the page
    :param chunks: parts of episodes
    :param mapper: explains steps
    :raises ExplainError: if the address cannot be used
    """

    daemon_threads = True
    request_queue_size = 256

    def __init__(
        self, host: str, port: int, page: LivePage, chunks: Chunks, mapper: Mapper
    ) -> None:
        self.page, self.chunks, self.mapper = page, chunks, mapper
        # before what closes it again where the address cannot be used
        self.queue: Queue[Question] = Queue(mapper.agent, mapper.answer, mapper.count_passes)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), Handler)
        except (OSError, OverflowError) as error:
            raise ExplainError(
                f"{host}, port {port}, cannot be used ({one_line(error)}): give another port= "
                "or host="
            ) from error
        self.guard = Guard.make(host, self.server_address[1])

    @property
    def address(self) -> str:
        """The address to open, with the token if there is one."""
        host = str(self.server_address[0])
        name = socket.gethostname() if self.guard.any_address else quote_host(host)
        token = f"?token={self.guard.token}" if self.guard.token else ""
        return f"http://{name}:{self.guard.port}/{token}"

    def server_close(self) -> None:
        """Free the port, and end what is being explained."""
        super().server_close()
        self.queue.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Tell of a connection that has failed, if it is worth a line."""
        logger.debug("a connection has failed", exc_info=True)


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    server: LiveServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "sb3-explain", ""
    timeout = SILENCE

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of single requests."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse a request that cannot be read, without repeating it."""
        self.close_connection = True
        self.say(HTTPStatus(code), HTTPStatus(code).phrase)

    def do_GET(self) -> None:
        """Answer a request."""
        path, _, query = self.path.partition("?")
        asked = {name: values[-1] for name, values in parse_qs(query[:1000]).items()}
        token = asked.pop("token", "")
        if "Content-Length" in self.headers or "Transfer-Encoding" in self.headers:
            self.close_connection = True  # what follows would be taken for the next request
        refusal = self.server.guard.refuse(self.headers, given=token, opened=path == "/")
        if refusal:
            self.say(HTTPStatus.FORBIDDEN, refusal)
            return
        if path == "/" and token and self.server.guard.token:
            self.remember_token()
            return
        for form, answer in ROUTES.items():
            found = form.fullmatch(path)
            if found:
                with self.telling_errors():
                    answer(self, read_numbers(asked), *map(int, found.groups()))
                return
        self.say(HTTPStatus.NOT_FOUND, "there is nothing here")

    @contextlib.contextmanager
    def telling_errors(self) -> Iterator[None]:
        """Answer with one line where something goes wrong."""
        try:
            yield
        except AbsentError as error:
            self.say(HTTPStatus.NOT_FOUND, str(error))
        except ExplainError as error:
            self.say(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))
        except (ConnectionError, TimeoutError):
            self.close_connection = True
        except Exception as error:  # one reader's mistake ends no other's answer
            logger.warning("%s: %s: %s", self.command, type(error).__name__, one_line(error))
            said = f"{type(error).__name__}: {one_line(error)}"
            self.say(HTTPStatus.INTERNAL_SERVER_ERROR, said)

    def begin(self, status: HTTPStatus, kind: str, **headers: str) -> None:
        """Send the head of an answer."""
        self.send_response(status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Security-Policy", self.server.page.policy)
        self.send_header("Content-Type", kind)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def give(self, content: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        """Send an answer."""
        self.begin(status, kind, Content_Length=str(len(content)))
        self.wfile.write(content)

    def say(self, status: HTTPStatus, line: str) -> None:
        """Send a line."""
        self.give(f"{line}\n".encode("utf-8", "replace"), TEXT, status)

    def remember_token(self) -> None:
        """Put the token into a cookie, and take it out of the address."""
        guard = self.server.guard
        cookie = f"{guard.cookie}={guard.token}; Path=/; HttpOnly; SameSite=Lax"
        self.begin(HTTPStatus.SEE_OTHER, TEXT, Location="/", Set_Cookie=cookie, Content_Length="0")

    def give_page(self, asked: Numbers) -> None:
        """Answer with the page."""
        self.give(self.server.page.html, "text/html; charset=utf-8")

    def list_episodes(self, asked: Numbers) -> None:
        """Answer with the episodes from a number on."""
        n = min(asked.get("n", 20), MAX_LISTED)
        listed = self.server.chunks.list_episodes(asked.get("start", 0), n)
        self.give(json.dumps(listed, allow_nan=False).encode(), JSON)

    def describe_chunk(self, asked: Numbers, episode: int, first: int) -> None:
        """Answer with the description of a part of an episode."""
        self.give(self.server.chunks.get(episode, first).description, JSON)

    def give_blob(self, asked: Numbers, episode: int, first: int, number: int) -> None:
        """Answer with what a description names."""
        blobs = self.server.chunks.get(episode, first).blobs
        if number >= len(blobs):
            raise AbsentError("there is no such blob")
        self.give(blobs[number], BYTES)

    def explain(self, asked: Numbers, episode: int, start: int) -> None:
        """Answer with a stream of events: where a question stands, then the answer."""
        chunks, mapper = self.server.chunks, self.server.mapper
        length = chunks.find_attributes(episode).length
        stop, explainer = asked.get("stop", start + 1), asked.get("explainer", 0)
        if not start < stop <= min(length, start + chunks.n_steps):
            raise AbsentError(f"episode {episode} has no steps {start} to {stop}")
        if explainer >= len(mapper.names):
            raise AbsentError("there is no such explainer")
        part = Part(episode, start, stop)
        question = Question(mapper.names[explainer], part, asked.get("target"))
        if not mapper.knows(question):
            raise AbsentError("there is no such target")
        job = self.server.queue.ask(question)
        try:
            self.close_connection = True
            self.begin(HTTPStatus.OK, "text/event-stream")
            self.tell(job)
        finally:
            self.server.queue.leave(job)

    def tell(self, job: Job[Question]) -> None:
        """Send the events of a job, until it is over or the reader has gone."""
        queue, sent = self.server.queue, None
        while not job.over and not self.is_gone():
            with queue.changed:
                state = {
                    "before": 0 if job.running else queue.count_before(job),
                    "forwards": job.forwards,
                    "total": job.total,
                }
            if state != sent:
                sent = state
                self.send_event("progress", json.dumps(state).encode())
            with queue.changed:
                if not job.over:
                    queue.changed.wait(BEAT)
        if job.answer is not None:
            self.send_event("answer", job.answer)
        elif job.failure:
            self.send_event("failure", json.dumps(job.failure).encode())

    def send_event(self, name: str, line: bytes) -> None:
        """Send an event; its data is one line."""
        self.wfile.write(b"event: " + name.encode() + b"\ndata: " + line + b"\n\n")

    def is_gone(self) -> bool:
        """Whether the reader has closed the connection."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.connection, selectors.EVENT_READ)
            readable = selector.select(0)
        return bool(readable) and self.connection.recv(1, socket.MSG_PEEK) == b""


def read_numbers(asked: dict[str, str]) -> Numbers:
    """Read the numbers of a query; whatever is none is left out."""
    return {name: int(one) for name, one in asked.items() if re.fullmatch(r"\d{1,9}", one)}


#: what answers a request, by the form of its path; paths name no file
ROUTES: dict[re.Pattern[str], Callable[..., None]] = {
    re.compile("/"): Handler.give_page,
    re.compile("/episodes"): Handler.list_episodes,
    re.compile(f"/chunks/{_NUMBER}/{_NUMBER}", re.ASCII): Handler.describe_chunk,
    re.compile(f"/chunks/{_NUMBER}/{_NUMBER}/{_NUMBER}", re.ASCII): Handler.give_blob,
    re.compile(f"/maps/{_NUMBER}/{_NUMBER}", re.ASCII): Handler.explain,
}
