"""One HTTP/1.1 connection: h11 decides what the bytes mean, this moves them, with a limit on everything."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import attrs
import h11
import structlog
import trio

from balancer.transport.peers import Peer
from guardian.events import Actor

from .dispatch import Conversation
from .heads import head_of
from .lasting import converse, pour
from .message import Request, Response, Role, refusal
from .room import Room

HEAD_LIMIT: Final = 16_384  # bytes of request line and headers
BODY_LIMIT: Final = 65_536
_CHUNK: Final = 8_192
_PIECE: Final = 65_536  # bytes written, and over TLS encrypted, at once


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


@attrs.frozen(kw_only=True)
class Guest:
    """What a connection says of who is at its other end, before any request."""

    actor: Actor
    role: Role  # what they may do at most; a token may be asked for as well
    secure: bool  # over TLS
    local_host: str  # the address that they connected to
    client: Peer | None = None  # whose certificate
    user: Callable[[], int | None] | None = None  # see `Request.user`

    def over_tls(self, client: Peer | None) -> Guest:
        if client is None:
            return attrs.evolve(self, secure=True)
        actor = Actor(name=client.common_name or client.fingerprint, source=self.actor.source)
        return attrs.evolve(self, secure=True, actor=actor, client=client)


@attrs.frozen
class _Before:
    """A request that is the only one of its bytes, and was answered by what is kept for all."""

    data: bytes
    request: Request


class Connection:
    """Serves requests on one stream until either side has had enough.

    What is asked for again and again by the same bytes, as a scrape is, is parsed once: else a hundred scrapes a second
    would take a twentieth of the loop. Whether it may be answered is looked at each time.
    """

    def __init__(
        self,
        stream: trio.abc.Stream,
        answer: Callable[[Request], Awaitable[Response | Conversation]],
        *,
        room: Room,
        times: Times,
        guest: Guest,
    ) -> None:
        self._stream = stream
        self._answer = answer
        self._room = room
        self._times = times
        self._guest = guest
        self._seen = b""  # of the request that is being read, and what came behind it
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_LIMIT)
        self._first = True
        self._before: _Before | None = None
        self._unparsed = False  # the request came as the one before it, and h11 has not seen it

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
            if not await self._serve_one(request):
                return

    async def _serve_one(self, request: Request) -> bool:
        """Whether there may be another request after it."""
        answer = await self._work_out(request)
        if self._unparsed:
            self._unparsed = False
            if isinstance(answer, Response) and answer.whole is not None:
                await self._put(answer.whole)
                return True
            self._parse(self._seen)
        if isinstance(answer, Conversation):
            with self._room.stay(answer.request):
                await converse(self._stream, self._seen, answer, self._times.write)
            return False
        if answer.stream is not None:
            await self._write_on(answer, request)
            return False
        await self._write(answer, head=request.method == "HEAD")
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            alone = not self._http.trailing_data[0] and request.method == "GET" and not request.body
            self._before = _Before(self._seen, request) if alone and answer.whole is not None else None
            self._http.start_next_cycle()
            return True
        await self._linger()
        return False

    def _parse(self, data: bytes) -> None:
        """Let h11 see what it has seen before."""
        self._http.receive_data(data)
        while not isinstance(self._http.next_event(), h11.EndOfMessage):
            pass

    async def _read(self) -> Request | None:
        """The next request, whole; None when there is none any more."""
        self._seen = bytes(self._http.trailing_data[0])
        begun = bool(self._seen)
        patience = self._times.request if self._first or begun else self._times.idle
        self._first = False
        head: h11.Request | None = None
        body = b""
        with self._room.waiting(patience) as scope:
            while True:
                event = self._http.next_event()
                if event is h11.NEED_DATA:
                    if self._http.they_are_waiting_for_100_continue:
                        await self._deliver(h11.InformationalResponse(status_code=100, headers=[]))
                    data = await self._stream.receive_some(_CHUNK)
                    if not begun:
                        begun = True
                        scope.deadline = trio.current_time() + self._times.request
                    if self._before is not None and not self._seen and data == self._before.data:
                        self._seen = self._before.data
                        self._unparsed = True
                        return self._before.request
                    self._seen += data
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

    def _request(self, head: h11.Request, body: bytes) -> Request:
        return Request(
            method=head.method.decode("ascii"),
            target=head.target.decode("ascii", "backslashreplace"),
            headers=tuple((name.decode("ascii"), value.decode("latin-1")) for name, value in head.headers),
            body=body,
            secure=self._guest.secure,
            local_host=self._guest.local_host,
            actor=self._guest.actor,
            role=self._guest.role,
            client=self._guest.client,
            user=self._guest.user,
        )

    async def _work_out(self, request: Request) -> Response | Conversation:
        try:
            with trio.fail_after(self._times.answer):
                answer = await self._answer(request)
        except trio.TooSlowError:
            return refusal(503, "no answer in time")
        except Exception as exc:  # noqa: BLE001 (one answer is lost, not the connection)
            structlog.get_logger().error("admin request failed", path=request.path[:200], exc_info=exc)
            return refusal(500, "a fault of the proxy; its log says more")
        lasts = isinstance(answer, Conversation) or answer.stream is not None
        if lasts and self._room.full_of_lasting:
            return refusal(503, "too many streams already; end one of them")
        return answer

    async def _refuse(self, response: Response) -> None:
        """Answer a request that cannot be understood or believed, and stop listening."""
        if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            await self._write(response, head=False, close=True)
            await self._linger()

    async def _write(self, response: Response, *, head: bool, close: bool = False) -> None:
        more = {"Content-Length": str(len(response.body)), **({"Connection": "close"} if close else {})}
        start = head_of(response, more)
        if head:
            await self._deliver(start, h11.EndOfMessage())
        else:
            await self._deliver(start, h11.Data(data=response.body), h11.EndOfMessage())

    async def _write_on(self, response: Response, request: Request) -> None:
        """Chunks as they come; nothing else follows on this connection."""
        assert response.stream is not None, "the caller has looked"
        with self._room.stay(request):
            await self._deliver(head_of(response, {"Connection": "close"}))
            ended = request.method == "HEAD"
            if ended:
                await response.stream.aclose()
            else:
                ended = await pour(self._stream, response.stream, lambda chunk: self._deliver(h11.Data(data=chunk)))
        if ended:
            await self._deliver(h11.EndOfMessage())
            await self._linger()

    async def _deliver(self, *events: h11.Event) -> None:
        await self._put(b"".join(self._http.send(event) or b"" for event in events))

    async def _put(self, data: bytes) -> None:
        """In pieces: between two of them requests have their turn."""
        for begin in range(0, len(data), _PIECE):
            with self._room.waiting(self._times.write) as scope:
                await self._stream.send_all(data[begin : begin + _PIECE])
            if scope.cancelled_caught:
                raise trio.BrokenResourceError("the client does not take its answer")

    async def _linger(self) -> None:
        """Let the client read the answer: a socket closed over unread bytes is reset, and the answer may be lost."""
        with self._room.waiting(self._times.linger):
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
