from __future__ import annotations

import json
import re
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from loadtest.compare.pki import Pki, make_pki
from loadtest.compare.processes import Processes
from loadtest.native.programs import Credentials, LoadError, LoadResult, Programs, parse_result

Echo = Callable[..., str]


@pytest.fixture
def echo(native_programs: Programs, compare_pki: Pki, tmp_path: Path) -> Iterator[Echo]:
    """Starts echo devices with the given options and gives their addresses."""
    with Processes(tmp_path) as processes:

        def start(*options: str) -> str:
            device = processes.start("device", [native_programs.echo_device, *compare_pki.device.options(), *options])
            return device.first_line(timeout=60)

        yield start


def ask(native_programs: Programs, credentials: Credentials, *options: str) -> tuple[int, str, str]:
    """Exit code, last line and errors of closed_loop."""
    command: list[str | Path] = [native_programs.closed_loop, *credentials.options(), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout.strip().rpartition("\n")[2], done.stderr


def load(native_programs: Programs, compare_pki: Pki, address: str, *options: str) -> LoadResult:
    _, line, errors = ask(native_programs, compare_pki.client, "--connect", address, *options)
    assert not errors
    return parse_result(line)


def context_of(credentials: Credentials, purpose: int) -> ssl.SSLContext:
    context = ssl.SSLContext(purpose)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(credentials.ca)
    context.load_cert_chain(credentials.certificate, credentials.key)
    return context


def converse(compare_pki: Pki, address: str, parts: list[bytes], size: int) -> bytes:
    """Send the parts one by one, then read until `size` bytes or the end."""
    host, _, port = address.partition(":")
    context = context_of(compare_pki.client, ssl.PROTOCOL_TLS_CLIENT)
    with socket.create_connection((host, int(port)), 5) as raw, context.wrap_socket(raw) as tls:
        for part in parts:
            tls.sendall(part)
        got = b""
        while len(got) < size and (more := tls.recv(65536)):
            got += more
        return got


@contextmanager
def lying_device(compare_pki: Pki, lie: Callable[[bytes], bytes], every: int = 10) -> Iterator[str]:
    """A device that gives the right answer to nine requests of ten, and to the tenth what `lie` makes of it."""
    context = context_of(compare_pki.device, ssl.PROTOCOL_TLS_SERVER)

    def serve(listener: socket.socket) -> None:
        raw, _ = listener.accept()
        count = 0
        with raw, context.wrap_socket(raw, server_side=True) as tls:
            received = b""
            while more := tls.recv(65536):
                received += more
                while b"]" in received:
                    message, _, received = received.partition(b"]")
                    count += 1
                    tls.sendall(lie(message + b"]") if count % every == 0 else message + b"]")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=[listener])
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join(5)
        assert not thread.is_alive()


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("depth", ["1", "16"])
def test_every_request_is_answered_by_itself(
    native_programs: Programs, compare_pki: Pki, echo: Echo, version: str, depth: str
) -> None:
    address = echo("--tls", version)
    options = ["--tls", version, "--clients", "5", "--depth", depth, "--requests", "3000", "--echo"]
    result = load(native_programs, compare_pki, address, *options)
    assert result.clean
    assert result.requests == 3000
    assert sum(count for _, count in result.histogram) == 3000
    assert 0 < result.latency["min"] <= result.latency["p50"] <= result.latency["p99"] <= result.latency["max"]
    assert 0 < result.cpu_seconds <= result.seconds * 1.1


def test_a_warm_up_is_not_counted(native_programs: Programs, compare_pki: Pki, echo: Echo) -> None:
    result = load(native_programs, compare_pki, echo(), "--clients", "2", "--warmup", "0.1", "--requests", "50")
    assert result.requests == 50


def test_clients_are_spread_over_all_addresses(native_programs: Programs, compare_pki: Pki, echo: Echo) -> None:
    assert load(native_programs, compare_pki, f"{echo()},{echo()}", "--clients", "4", "--seconds", "0.1").clean


@pytest.mark.parametrize(
    "lie",
    [
        pytest.param(lambda message: re.sub(rb"AG\w", b"AGX", message), id="another AG"),
        pytest.param(lambda message: message.replace(b"AOECHO", b"AORAND"), id="another code"),
        pytest.param(lambda message: re.sub(rb"AG\w+;", b"", message), id="no AG"),
        pytest.param(lambda message: message + message, id="one answer too many"),
        pytest.param(lambda message: b"x" + message, id="stray byte"),
    ],
)
def test_a_wrong_answer_is_seen(native_programs: Programs, compare_pki: Pki, lie: Callable[[bytes], bytes]) -> None:
    with lying_device(compare_pki, lie) as address:
        code, line, _ = ask(native_programs, compare_pki.client, "--connect", address, "--requests", "25")
    result = parse_result(line)
    assert code == 1
    assert result.wrong >= 1
    assert not result.clean


def test_a_byte_that_differs_is_seen_where_the_answer_must_be_the_request(
    native_programs: Programs, compare_pki: Pki
) -> None:
    with lying_device(compare_pki, lambda message: message.replace(b";]", b"F;]")) as address:
        code, line, _ = ask(native_programs, compare_pki.client, "--connect", address, "--requests", "25", "--echo")
    assert code == 1
    assert parse_result(line).wrong == 2


def test_an_error_answer_is_an_error_and_not_wrong(native_programs: Programs, compare_pki: Pki) -> None:
    with lying_device(compare_pki, lambda _: b"[AOERRO;AM902;ANAO;BBNO DEVICE AVAILABLE;]") as address:
        code, line, _ = ask(native_programs, compare_pki.client, "--connect", address, "--requests", "25")
    result = parse_result(line)
    assert code == 1
    assert (result.requests, result.errors, result.wrong) == (23, 2, 0)


def test_a_missing_answer_is_lost_after_the_time_out(native_programs: Programs, compare_pki: Pki) -> None:
    with lying_device(compare_pki, lambda _: b"") as address:
        options = ["--connect", address, "--requests", "25", "--timeout", "0.3"]
        code, line, _ = ask(native_programs, compare_pki.client, *options)
    result = parse_result(line)
    assert code == 1
    assert (result.requests, result.errors, result.lost_connections) == (9, 1, 1)


def test_the_device_answers_however_the_bytes_are_cut(compare_pki: Pki, echo: Echo) -> None:
    message = b"[AOECHO;AG7;BO0011;]"
    address = echo()
    cut = [bytes([byte]) for byte in message]
    assert converse(compare_pki, address, cut, len(message)) == message
    assert converse(compare_pki, address, [message + b"\r\n \t" + message], 2 * len(message)) == 2 * message


@pytest.mark.parametrize("mode", ["serial", "parallel"])
def test_answers_keep_the_order_of_requests_with_a_delay(compare_pki: Pki, echo: Echo, mode: str) -> None:
    messages = b"".join(b"[AOECHO;AG%d;]" % number for number in range(20))
    assert converse(compare_pki, echo("--delay", "1000", "--mode", mode), [messages], len(messages)) == messages


@pytest.mark.parametrize(("mode", "least"), [("serial", 38_000), ("parallel", 4_900)])
def test_a_serial_connection_waits_for_each_request(
    native_programs: Programs, compare_pki: Pki, echo: Echo, mode: str, least: float
) -> None:
    address = echo("--delay", "5000", "--mode", mode)
    result = load(native_programs, compare_pki, address, "--depth", "8", "--requests", "8")
    assert result.latency["max"] >= least
    assert result.latency["min"] >= 4_900


def test_the_device_closes_on_what_is_no_message(compare_pki: Pki, echo: Echo) -> None:
    assert converse(compare_pki, echo(), [b"GET / HTTP/1.0\r\n\r\n"], 1) == b""


def test_a_certificate_of_another_ca_is_refused_by_both(
    native_programs: Programs, compare_pki: Pki, echo: Echo, tmp_path: Path
) -> None:
    own = compare_pki.client
    stranger = make_pki(tmp_path / "stranger").client
    suspicious = Credentials(certificate=own.certificate, key=own.key, ca=stranger.ca)
    code, _, errors = ask(native_programs, suspicious, "--connect", echo())
    assert code == 1
    assert "certificate verify failed" in errors
    unknown = Credentials(certificate=stranger.certificate, key=stranger.key, ca=own.ca)
    code, line, _ = ask(native_programs, unknown, "--connect", echo(), "--requests", "1")
    assert code == 1  # TLS 1.3 tells a refused client only at its first read
    assert parse_result(line).lost_connections == 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--clients", "none"], '--clients is "none", would be right: a whole number from 1'),
        (["--connect", "nowhere"], "write HOST:PORT"),
        (["--connect", "127.0.0.1:1", "--size", "3:4"], "--size"),
        (["--connect", "127.0.0.1:1", "--commands", "ECHO,echo"], "--commands"),
        ([], "--connect HOST:PORT is missing"),
    ],
)
def test_wrong_options_are_explained(
    native_programs: Programs, compare_pki: Pki, options: list[str], says: str
) -> None:
    code, _, errors = ask(native_programs, compare_pki.client, *options)
    assert code == 2
    assert says in errors


@pytest.mark.parametrize("line", ["", "{}", "[1]", '{"event": "measuring"}'])
def test_what_is_no_result_is_refused(line: str) -> None:
    with pytest.raises(LoadError):
        parse_result(line)


def test_an_open_loop_keeps_its_rate_and_counts_from_when_a_request_was_due(
    native_programs: Programs, compare_pki: Pki, echo: Echo
) -> None:
    """One connection to a device that takes 20 ms answers 50 a second at most; 100 a second come."""
    options = ["--rate", "100", "--seconds", "0.5", "--echo"]
    result = load(native_programs, compare_pki, echo("--delay", "20000"), *options)
    assert result.clean
    assert 25 < result.requests < 85  # 50 by the seed's chance
    assert result.latency["max"] > 20_000 * result.requests / 4, "the last ones waited for those before them"
    relaxed = load(native_programs, compare_pki, echo("--delay", "1000"), *options, "--clients", "8")
    assert relaxed.requests == result.requests, "the same moments for the same seed"
    assert relaxed.latency["p50"] < 20_000


def test_what_an_open_loop_could_not_send_in_time_is_lost(
    native_programs: Programs, compare_pki: Pki, echo: Echo
) -> None:
    options = ["--rate", "200", "--seconds", "0.3", "--timeout", "0.3"]
    code, line, _ = ask(native_programs, compare_pki.client, "--connect", echo("--delay", "100000"), *options)
    result = parse_result(line)
    assert code == 1
    assert result.requests + result.errors > 30
    assert result.errors > 10


def test_a_device_works_on_no_more_at_once_than_it_may(native_programs: Programs, compare_pki: Pki, echo: Echo) -> None:
    """Eight requests, two at a time, 10 ms each: four times 10 ms."""
    address = echo("--delay", "10000", "--at-once", "2")
    result = load(native_programs, compare_pki, address, "--clients", "8", "--requests", "8")
    assert result.latency["max"] >= 39_000  # sleeps and clocks round by less
    assert result.latency["min"] >= 9_800


def test_every_client_logs_in_first(native_programs: Programs, compare_pki: Pki, echo: Echo) -> None:
    result = load(native_programs, compare_pki, echo(), "--clients", "3", "--login", "--echo", "--requests", "30")
    assert result.clean
    assert result.requests == 30


def test_a_login_that_is_refused_ends_the_load(native_programs: Programs, compare_pki: Pki) -> None:
    refusal = b"[AORKLG;ANN;]"
    with lying_device(compare_pki, lambda _: refusal, every=1) as address:
        code, _, errors = ask(native_programs, compare_pki.client, "--connect", address, "--login")
    assert code == 1
    assert "a login was refused: [AORKLG;ANN;]" in errors


def test_the_device_says_yes_to_a_login_and_repeats_its_context(compare_pki: Pki, echo: Echo) -> None:
    address = echo()
    assert converse(compare_pki, address, [b"[AORKLG;DAa;AG77;CHb;]"], 18) == b"[AORKLG;ANY;AG77;]"
    assert converse(compare_pki, address, [b"[AORKLG;DAa;CHAG1]"], 13) == b"[AORKLG;ANY;]"


def test_only_every_third_client_asks(native_programs: Programs, compare_pki: Pki, echo: Echo) -> None:
    """Two of six ask, one request at a time of a device that takes 20 ms: about 100 a second, not 300."""
    options = ["--clients", "6", "--busy-every", "3", "--seconds", "0.4"]
    result = load(native_programs, compare_pki, echo("--delay", "20000"), *options)
    assert result.clean
    assert 2 <= result.requests <= 42


def test_a_lost_client_connects_again_and_what_it_lost_is_counted(
    native_programs: Programs, compare_pki: Pki, tmp_path: Path
) -> None:
    with Processes(tmp_path) as processes:
        command: list[str | Path] = [native_programs.echo_device, *compare_pki.device.options(), "--delay", "20000"]
        first = processes.start("device", command)
        address = first.first_line(timeout=60)
        options = ["--connect", address, "--clients", "4", "--seconds", "1.5", "--reconnect", "--slow", "5000"]
        generator = processes.start(
            "load", [native_programs.closed_loop, *compare_pki.client.options(), *options], piped=True
        )
        assert generator.process.stdout is not None
        assert "measuring" in generator.process.stdout.readline()
        time.sleep(0.1)
        broken = time.monotonic()
        first.process.kill()
        first.process.wait()
        with socket.create_server(("127.0.0.1", int(address.rpartition(":")[2]))) as turned_away:
            for _ in range(4):
                turned_away.accept()[0].close()
        processes.start("device again", [*command, "--listen", address])
        result = parse_result(generator.process.stdout.readline())
    assert 1 <= result.errors <= 4, "what was outstanding, and nothing that could not be sent"
    assert result.lost_connections >= 4
    assert result.requests > 4
    assert result.last_affected is not None
    assert broken <= result.last_affected <= broken + 1.5


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--login", "--reconnect"], "--login and --reconnect do not go together"),
        (["--rate", "5", "--requests", "5"], "--rate and --requests do not go together"),
    ],
)
def test_options_that_exclude_each_other_are_explained(
    native_programs: Programs, compare_pki: Pki, options: list[str], says: str
) -> None:
    code, _, errors = ask(native_programs, compare_pki.client, "--connect", "127.0.0.1:1", *options)
    assert code == 2
    assert says in errors


def churned(native_programs: Programs, compare_pki: Pki, *options: str) -> dict[str, int]:
    command: list[str | Path] = [native_programs.churn, *compare_pki.client.options(), "--seconds", "0.1", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    told: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == (1 if told["failed"] else 0)
    return told


def test_churn_opens_asks_and_closes(native_programs: Programs, compare_pki: Pki, echo: Echo) -> None:
    told = churned(native_programs, compare_pki, "--connect", echo(), "--request")
    assert told["connections"] > 0
    assert (told["failed"], told["resumed"]) == (0, 0)


def test_churn_sees_a_wrong_answer(native_programs: Programs, compare_pki: Pki) -> None:
    with lying_device(compare_pki, lambda message: message.replace(b"AG", b"AH"), every=1) as address:
        command: list[str | Path] = [native_programs.churn, *compare_pki.client.options(), "--connect", address]
        done = subprocess.run(
            [*command, "--request", "--seconds", "0.01"], capture_output=True, text=True, check=False, timeout=60
        )
    assert done.returncode == 1
    assert json.loads(done.stdout.splitlines()[-1])["failed"] == 1


def test_hold_asks_once_on_each_connection_and_keeps_them(
    native_programs: Programs, compare_pki: Pki, tmp_path: Path
) -> None:
    with Processes(tmp_path) as processes:
        device = processes.start("device", [native_programs.echo_device, *compare_pki.device.options()])
        command: list[str | Path] = [native_programs.hold, *compare_pki.client.options(), "--clients", "20"]
        command += ["--at-once", "20", "--connect", device.first_line(timeout=60)]
        holder = processes.start("hold", command)
        assert json.loads(holder.first_line(timeout=60)) == {"event": "held", "connections": 20, "failed": 0}
        assert processes.stop(holder) == 0
        processes.stop(device)
        assert json.loads(device.output.read_text().splitlines()[-1]) == {"requests": 20}


def test_hold_says_how_many_it_could_not_open(native_programs: Programs, compare_pki: Pki) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        command: list[str | Path] = [native_programs.hold, *compare_pki.client.options(), "--connect", address]
        command += ["--clients", "2", "--timeout", "0.1"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "only 0 of 2 connections were open" in done.stderr
