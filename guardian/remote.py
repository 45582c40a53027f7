"""The admin port seen from the command line: one blocking HTTP request at a time."""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import json
import socket
import ssl
from collections.abc import Callable, Container, Iterator, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

import attrs
import click

ADMIN: Final = "http://127.0.0.1:9190"
_LONGEST: Final = 16_777_216  # bytes of an answer
_UNIX: Final = "unix:"
_TIMEOUT: Final = 10.0  # seconds for one request
_DEVICE: Final = {
    "name": str, "role": str, "will": str, "health": str, "in_service": bool, "outstanding": int, "requests": int,
    "errors": int, "connections": int,
}  # fmt: skip
_SILENCE: Final = 20.0  # seconds: a stream that is alive says so every five


class UnreachableError(click.ClickException):
    """Nothing at the admin address answers as a Guardian does."""

    exit_code = 3


class RefusedError(click.ClickException):
    """The proxy answered, and the answer is no."""

    exit_code = 1


@attrs.frozen(kw_only=True)
class Remote:
    """A running proxy, by its admin address.

    Every call blocks, and raises UnreachableError or RefusedError with a text for people.
    """

    admin: str
    token: str | None = attrs.field(default=None, repr=False)
    tls: ssl.SSLContext | None = None
    timeout: float = _TIMEOUT

    def status(self) -> dict[str, Any]:
        """What `/status` answers."""
        found = self._call("GET", "/status")
        if not _is_status(found):
            raise UnreachableError(
                f"what answers at {self.admin} is no Guardian: its /status has no groups with devices"
            )
        return found

    def set_will(self, group: str, device: str, will: str) -> dict[str, Any]:
        """Gives the device as `/status` has it."""
        answer = self._call("POST", f"/groups/{quote(group, safe='')}/devices/{quote(device, safe='')}/{will}")
        return found if isinstance(found := answer.get("device"), dict) else {}

    def learn(self, duration: str, group: str | None) -> dict[str, Any]:
        """Begin a lesson; gives what `/learning` answers."""
        return self._call("POST", "/learning", {"for": duration, **({"group": group} if group else {})})

    def learned(self) -> dict[str, Any]:
        """What `/learning` answers."""
        return self._call("GET", "/learning")

    def stop_learning(self) -> None:
        self._call("POST", "/learning/stop")

    def get(self, path: str, **query: str | int | None) -> dict[str, Any]:
        """What a GET answers; of ``query``, what is None or empty is left out."""
        return self._call("GET", path + _query(query))

    def reload(self, *, dry_run: bool) -> dict[str, Any]:
        """What `/reload` answers, also where it refuses the file."""
        if dry_run:
            return self._call("GET", "/reload", told=(200, 422))
        return self._call("POST", "/reload", {}, told=(200, 422))

    def tail(self, **query: str | None) -> Iterator[dict[str, Any] | None]:
        """Completions as they come, for as long as the proxy runs; None says only that it is there."""
        with contextlib.ExitStack() as stack:
            try:
                connection = self._connection(_SILENCE)
                stack.callback(connection.close)
                answer = self._ask(connection, "GET", "/tail" + _query(query), None)
                if answer.status != 200:
                    self._judge(answer.status, answer.read(_LONGEST), (200,))
                while line := answer.readline(_LONGEST):
                    yield json.loads(line) if line.strip() else None
            except (OSError, http.client.HTTPException, UnicodeError) as exc:
                raise self._unreachable(exc) from exc
            except ValueError as exc:
                raise UnreachableError(f"what answers at {self.admin} is no Guardian: no lines of JSON") from exc

    def _call(
        self, method: str, path: str, content: Mapping[str, object] | None = None, told: Container[int] = (200,)
    ) -> dict[str, Any]:
        """``told``: the status codes whose answers are for the caller."""
        try:
            code, body = self._exchange(method, path, content)
        except (OSError, http.client.HTTPException, UnicodeError) as exc:  # UnicodeError: no name that DNS could have
            raise self._unreachable(exc) from exc
        return self._judge(code, body, told)

    def _unreachable(self, exc: Exception) -> UnreachableError:
        if isinstance(exc, ssl.SSLError):
            return UnreachableError(
                f"no TLS with {self.admin}: {exc.reason or exc}. Does it need --ca, or --certificate and --key?"
            )
        why = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
        hint = "Is `guardian run` running, and is this its admin.bind? Say another with --admin or GUARDIAN_ADMIN."
        if isinstance(exc, ConnectionError) and not isinstance(exc, ConnectionRefusedError):
            hint = "Does it want https, or --certificate and --key?"  # TLS 1.3 refuses by closing
        if isinstance(exc, PermissionError):
            hint = "The mode of that socket (admin.mode) does not let this user in."
        return UnreachableError(f"cannot reach the proxy at {self.admin}: {why}. {hint}")

    def _judge(self, code: int, body: bytes, told: Container[int]) -> dict[str, Any]:
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise UnreachableError(f"what answers at {self.admin} is no Guardian: status {code}, no JSON object")
        if code == 401:
            raise RefusedError(f"{self.admin} wants a token: give --token-file or GUARDIAN_TOKEN_FILE")
        if code not in told:
            raise RefusedError(f"{self.admin} refused: {answer.get('error', f'status {code}')}")
        return answer

    def _exchange(self, method: str, path: str, content: Mapping[str, object] | None) -> tuple[int, bytes]:
        connection = self._connection(self.timeout)
        try:
            answer = self._ask(connection, method, path, content)
            return answer.status, answer.read(_LONGEST)
        finally:
            connection.close()

    def _connection(self, timeout: float) -> http.client.HTTPConnection:
        if self.admin.startswith(_UNIX):
            return _UnixConnection(self.admin[len(_UNIX) :], timeout=timeout)
        parts = urlsplit(self.admin)
        host = parts.hostname or ""
        if self.tls is not None:
            return http.client.HTTPSConnection(host, parts.port, timeout=timeout, context=self.tls)
        return http.client.HTTPConnection(host, parts.port, timeout=timeout)

    def _ask(
        self, connection: http.client.HTTPConnection, method: str, path: str, content: Mapping[str, object] | None
    ) -> http.client.HTTPResponse:
        headers = {"Accept": "application/json", "Connection": "close"}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        body = None
        if content is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(content)
        connection.request(method, path, body, headers)
        return connection.getresponse()


def _is_status(found: Mapping[str, Any]) -> bool:
    """Whether it has groups and devices with what every Guardian says of them, and commands rely on."""
    groups = found.get("groups")
    return isinstance(groups, list) and all(
        isinstance(group, dict)
        and isinstance(group.get("name"), str)
        and isinstance(group.get("devices"), list)
        and all(isinstance(each, dict) and _is_device(each) for each in group["devices"])
        for group in groups
    )


def _is_device(found: Mapping[str, Any]) -> bool:
    return all(isinstance(found.get(key), kind) for key, kind in _DEVICE.items())


def _query(query: Mapping[str, str | int | None]) -> str:
    given = {name: value for name, value in query.items() if value not in (None, "")}
    return f"?{urlencode(given)}" if given else ""


class _UnixConnection(http.client.HTTPConnection):
    """HTTP through a socket in the file system; its Host is `localhost`."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def admin_options(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command the options that say where the proxy is; it gets a `Remote` as its first argument."""

    @click.option("--admin", envvar="GUARDIAN_ADMIN", default=ADMIN, show_default=True, metavar="URL",
                  help="Where the proxy's admin port is: http, https, or unix:PATH; also GUARDIAN_ADMIN.")  # fmt: skip
    @click.option("--token-file", envvar="GUARDIAN_TOKEN_FILE", type=click.Path(path_type=Path), metavar="FILE",
                  help="Holds the admin token; also GUARDIAN_TOKEN_FILE.")  # fmt: skip
    @click.option("--ca", type=click.Path(path_type=Path), metavar="FILE",
                  help="Trust this CA for an https address, instead of the system's.")  # fmt: skip
    @click.option("--certificate", type=click.Path(path_type=Path), metavar="FILE",
                  help="Show this certificate, for an admin port that wants one.")  # fmt: skip
    @click.option("--key", type=click.Path(path_type=Path), metavar="FILE", help="The key of --certificate.")
    @wraps(command)
    def with_remote(
        *args: Any,
        admin: str,
        token_file: Path | None,
        ca: Path | None,
        certificate: Path | None,
        key: Path | None,
        **kwargs: Any,
    ) -> int:
        return command(remote_for(admin, token_file, ca, certificate, key), *args, **kwargs)

    return with_remote


def remote_for(
    admin: str,
    token_file: Path | None,
    ca: Path | None,
    certificate: Path | None,
    key: Path | None,
    *,
    timeout: float = _TIMEOUT,
) -> Remote:
    """The proxy that these options mean. Raises click.UsageError where they cannot be used."""
    _check_address(admin)
    token, tls = _read_token(token_file), _context(admin, ca, certificate, key)
    if token is not None and shows_to_others(admin):
        raise click.UsageError(f"{admin} would show the token to whoever is on the way: use https, or unix:PATH there")
    return Remote(admin=admin, token=token, tls=tls, timeout=timeout)


def _check_address(admin: str) -> None:
    if admin.startswith(_UNIX) and len(admin) > len(_UNIX):
        return
    try:
        parts = urlsplit(admin)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and parts.path in ("", "/")
    except ValueError:
        good = False
    if not good:
        raise click.BadParameter(
            f"{admin!r} is no address like {ADMIN} or {_UNIX}/run/guardian/admin.sock", param_hint="'--admin'"
        )


def shows_to_others(admin: str) -> bool:
    """Whether what is sent there travels in the clear beyond this machine."""
    if not admin.lower().startswith("http:"):
        return False
    host = urlsplit(admin).hostname or ""
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"


def _read_token(file: Path | None) -> str | None:
    if file is None:
        return None
    try:
        token = file.read_text("ascii").strip()
    except (OSError, ValueError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "it is not ASCII text"
        raise click.BadParameter(f"cannot read {file}: {why}", param_hint="'--token-file'") from exc
    if not token.isprintable():
        raise click.BadParameter(f"{file} holds more than one line", param_hint="'--token-file'")
    return token


def _context(admin: str, ca: Path | None, certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if not admin.lower().startswith("https:"):
        return None
    try:
        context = ssl.create_default_context(cafile=ca)
        if certificate is not None:
            context.load_cert_chain(certificate, key, "")
    except OSError as exc:  # ssl.SSLError is one
        raise click.UsageError(f"cannot use --ca, --certificate or --key: {exc.strerror or exc}") from exc
    return context
