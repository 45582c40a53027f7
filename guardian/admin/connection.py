"""One HTTP/1.1 connection: h11 decides what the bytes mean, this moves them, with a limit on everything."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from http import HTTPStatus
from typing import Final

import attrs
import h11
import structlog
import trio

from .message import Request, Response, refusal

HEAD_LIMIT: Final = 16_384  # bytes of request line and headers
BODY_LIMIT: Final = 65_536
_CHUNK: Final = 8_192

_HARDENING: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@attrs.frozen(kw_only=True)
class Times:
    """How long a connection may take, in seconds."""

    idle: float = 75.0  # between requests; longer than a scrape interval of one minute
    request: float = 10.0  # from a request's first byte (or from the accept) to its last
    answer: float = 30.0  # to work out an answer
    write: float = 10.0  # for the client to take it
    linger: float = 1.0  # for the client to read an answer after which we close


class TooSlowError(Exception):
    """A request was begun and not ended in time."""


class BadRequestError(Exception):
    """A request that is not answered by its path but by what is wrong with it."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


class Connection:
    """Serves requests on one stream until either side has had enough.

    `waiting` holds, oldest first, the cancel scopes of connections that wait for their client; whoever needs room may
    cancel one, which closes that connection without an answer.
    """

    def __init__(
        self,
        stream: trio.abc.Stream,
        answer: Callable[[Request], Awaitable[Response]],
        *,
        waiting: dict[trio.CancelScope, None],
        times: Times,
        secure: bool,
        local_host: str,
        peer: str,
    ) -> None:
        self._stream = stream
        self._answer = answer
        self._waiting = waiting
        self._times = times
        self._secure = secure
        self._local_host = local_host
        self._peer = peer
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_LIMIT)
        self._first = True

    async def serve(self) -> None:
        """Returns when the connection is over; the stream stays the caller's to close.

        Raises trio.BrokenResourceError when the client is gone.
        """
        while True:
            try:
                request = await self._read()
            except BadRequestError as exc:
                await self._refuse(exc.response)
                return
            except h11.RemoteProtocolError as exc:
                await self._refuse(refusal(exc.error_status_hint, "this is no HTTP request that is understood here"))
                return
            except TooSlowError:
                await self._refuse(refusal(408, "the request took too long"))
                return
            if request is None:
                return
            await self._write(await self._work_out(request), head=request.method == "HEAD")
            if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
                await self._linger()
                return
            self._http.start_next_cycle()

    async def _read(self) -> Request | None:
        """The next request, whole; None when there is none any more."""
        begun = bool(self._http.trailing_data[0])
        patience = self._times.request if self._first or begun else self._times.idle
        self._first = False
        head: h11.Request | None = None
        body = b""
        with self._patience(patience) as scope:
            while True:
                event = self._http.next_event()
                if event is h11.NEED_DATA:
                    if self._http.they_are_waiting_for_100_continue:
                        await self._send(h11.InformationalResponse(status_code=100, headers=[]))
                    data = await self._stream.receive_some(_CHUNK)
                    if not begun:
                        begun = True
                        scope.deadline = trio.current_time() + self._times.request
                    self._http.receive_data(bytes(data))
                elif isinstance(event, h11.Request):
                    _check_head(event)
                    head = event
                elif isinstance(event, h11.Data):
                    body += event.data
                    if len(body) > BODY_LIMIT:
                        raise BadRequestError(refusal(413, f"a body has at most {BODY_LIMIT} bytes"))
                elif isinstance(event, h11.EndOfMessage) and head is not None:
                    return self._request(head, body)
                else:  # closed, or something that waits for us
                    return None
        if begun and trio.current_time() >= scope.deadline:
            raise TooSlowError
        return None

    @contextlib.contextmanager
    def _patience(self, seconds: float) -> Iterator[trio.CancelScope]:
        """Bounds a wait for the client, and lets the server end it earlier if it needs the room."""
        with trio.CancelScope(deadline=trio.current_time() + seconds) as scope:
            self._waiting[scope] = None
            try:
                yield scope
            finally:
                self._waiting.pop(scope, None)

    def _request(self, head: h11.Request, body: bytes) -> Request:
        return Request(
            method=head.method.decode("ascii"),
            target=head.target.decode("ascii", "backslashreplace"),
            headers=tuple((name.decode("ascii"), value.decode("latin-1")) for name, value in head.headers),
            body=body,
            secure=self._secure,
            local_host=self._local_host,
            peer=self._peer,
        )

    async def _work_out(self, request: Request) -> Response:
        try:
            with trio.fail_after(self._times.answer):
                return await self._answer(request)
        except trio.TooSlowError:
            return refusal(503, "no answer in time")
        except Exception as exc:  # noqa: BLE001 (one answer is lost, not the connection)
            structlog.get_logger().error("admin request failed", path=request.path[:200], exc_info=exc)
            return refusal(500, "a fault of the proxy; its log says more")

    async def _refuse(self, response: Response) -> None:
        """Answer a request that cannot be understood or believed, and stop listening."""
        if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            await self._write(response, head=False, close=True)
            await self._linger()

    async def _write(self, response: Response, *, head: bool, close: bool = False) -> None:
        headers = {
            **_HARDENING,
            **response.headers,
            "Content-Type": response.content_type,
            "Content-Length": str(len(response.body)),
        }
        if close:
            headers["Connection"] = "close"
        start = h11.Response(
            status_code=response.status,
            reason=HTTPStatus(response.status).phrase,
            headers=list(headers.items()),
        )
        with self._patience(self._times.write) as scope:
            if head:
                await self._send(start, h11.EndOfMessage())
            else:
                await self._send(start, h11.Data(data=response.body), h11.EndOfMessage())
        if scope.cancelled_caught:
            raise trio.BrokenResourceError("the client does not take its answer")

    async def _send(self, *events: h11.Event) -> None:
        await self._stream.send_all(b"".join(self._http.send(event) or b"" for event in events))

    async def _linger(self) -> None:
        """Let the client read the answer: a socket closed over unread bytes is reset, and the answer may be lost."""
        with self._patience(self._times.linger):
            if isinstance(self._stream, trio.SocketStream):
                await self._stream.send_eof()
            while await self._stream.receive_some(_CHUNK):
                pass


def _check_head(head: h11.Request) -> None:
    """Raises BadRequestError for another HTTP, or a body too long or whose end two readers could see differently."""
    if not head.http_version.startswith(b"1."):
        raise BadRequestError(refusal(505, "this server speaks HTTP/1.1"))
    lengths = [value for name, value in head.headers if name == b"content-length"]
    if lengths and any(name == b"transfer-encoding" for name, _ in head.headers):
        raise BadRequestError(refusal(400, "give Content-Length or Transfer-Encoding, not both"))
    if lengths and int(lengths[0]) > BODY_LIMIT:  # h11 has seen to it that there is one, and a number
        raise BadRequestError(refusal(413, f"a body has at most {BODY_LIMIT} bytes"))
