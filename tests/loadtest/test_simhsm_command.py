"""`guardian simulate` as a program."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from guardian.cli import execute

GUARDIAN = [sys.executable, "-c", "from guardian.cli import main; main()", "simulate"]


@contextmanager
def program(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """The program and what it says when it is ready; ended on every path."""
    with subprocess.Popen(
        [*GUARDIAN, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, process.stderr and process.stderr.read()
            yield process, json.loads(line)
        finally:
            process.kill()


def ask(address: str, request: bytes, context: ssl.SSLContext | None = None) -> bytes:
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=60) as plain:
        if context is None:
            plain.sendall(request)
            return plain.recv(4096)
        with context.wrap_socket(plain, server_hostname=host) as tls:
            tls.sendall(request)
            return tls.recv(4096)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_its_address_serves_and_ends_cleanly(number: signal.Signals) -> None:
    with program("--tls-mode", "clear", "--name", "hsm7", "--latency", "1ms") as (process, ready):
        assert (ready["event"], ready["name"], ready["tls"]) == ("ready", "hsm7", "clear")
        assert ask(ready["address"], b"[AOECHO;AG1;]") == b"[AOECHO;AG1;]"
        process.send_signal(number)
        assert process.wait(60) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_mutual_tls_and_a_user_with_a_password_file(tmp_path: Path) -> None:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.crt")
    ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / "hsm.pem")
    (tmp_path / "password").write_text("not-to-be-seen\n")
    context = ssl.create_default_context()
    ca.configure_trust(context)
    ca.issue_cert("client", common_name="client").configure_cert(context)
    files = ["--certificate", tmp_path / "hsm.pem", "--ca", tmp_path / "ca.crt"]
    user = ["--user", "vault", "--password-file", tmp_path / "password"]
    with program(*map(str, files + user), "--session-idle", "1m") as (process, ready):
        assert "not-to-be-seen" not in json.dumps(ready)
        assert ask(ready["address"], b"[AORKLG;DAvault;CHnot-to-be-seen;]", context) == b"[AORKLG;ANY;]"
        assert b"LOGIN REQUIRED" in ask(ready["address"], b"[AOGPGS;CT6;]", context)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            ask(ready["address"], b"[AOECHO;]", ssl._create_unverified_context())  # no certificate
        process.terminate()
        assert process.wait(60) == 0


def test_users_and_roles_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("secret\n")
    users = tmp_path / "users.yaml"
    users.write_text("roles: {signer: [ECHO]}\nidentities:\n- {name: s, password_file: pw, role: signer}\n")
    with program("--tls-mode", "clear", "--users", str(users)) as (_, ready):
        host, _, port = ready["address"].rpartition(":")
        with socket.create_connection((host, int(port)), timeout=60) as plain:
            plain.sendall(b"[AORKLG;DAs;CHsecret;]")
            assert plain.recv(4096) == b"[AORKLG;ANY;]"
            plain.sendall(b"[AOGPGS;CT6;]")
            assert b"FUNCTION NOT PERMITTED" in plain.recv(4096)


def test_the_answers_that_ask_for_a_login_and_the_version_are_settings() -> None:
    told = ("--model", "Excrypt Plus", "--firmware", "7.1")
    limits = ("--login-required", "5:WHO ARE YOU", "--session-expired", "6:TOO LATE", "--session-requests", "1")
    with program("--tls-mode", "clear", *told, *limits, "--wrong-passwords", "1") as (_, ready):
        host, _, port = ready["address"].rpartition(":")
        with socket.create_connection((host, int(port)), timeout=60) as plain:
            for request, answer in (
                (b"[AOECHO;]", b"[AOECHO;MDExcrypt Plus;FW7.1;]"),
                (b"[AOGPGS;CT6;]", b"[AOERRO;AM5;ANAO;BBWHO ARE YOU;]"),
                (b"[AORKLG;DAcrypto1;CHsafest1;]", b"[AORKLG;ANY;]"),
                (b"[AOECHO;AG1;]", b"[AOECHO;MDExcrypt Plus;FW7.1;AG1;]"),
                (b"[AOGPGS;CT6;]", b"[AOERRO;AM6;ANAO;BBTOO LATE;]"),
                (b"[AORKLG;DAcrypto2;CHwrong;]", b"[AORKLG;ANN;]"),
                (b"[AORKLG;DAcrypto2;CHsafest2;]", b"[AORKLG;ANN;LKY;]"),
            ):
                plain.sendall(request)
                assert plain.recv(4096) == answer


def test_a_kmes_and_logins_by_certificate(tmp_path: Path) -> None:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.crt")
    leaf = ca.issue_cert("client", common_name="crypto1").cert_chain_pems[0].bytes()
    der = x509.load_pem_x509_certificate(leaf).public_bytes(Encoding.DER).hex().upper().encode()
    with program("--tls-mode", "clear", "--type", "kms", "--login-ca", str(tmp_path / "ca.crt")) as (_, ready):
        assert b"LOGIN REQUIRED" in ask(ready["address"], b"[AORKRL;NCKEYS;]")
        assert ask(ready["address"], b"[AORKLG;RT%b;]" % der).startswith(b"[AORKLG;NO")


def test_a_certificate_login_can_be_switched_off(tmp_path: Path) -> None:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.crt")
    ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / "hsm.pem")
    context = ssl.create_default_context()
    ca.configure_trust(context)
    ca.issue_cert("client", common_name="crypto1").configure_cert(context)
    files = ["--certificate", str(tmp_path / "hsm.pem"), "--ca", str(tmp_path / "ca.crt")]
    for off, code in (([], b"[AOGPGS;"), (["--no-certificate-login"], b"[AOERRO;")):
        with program(*files, *off) as (_, ready):
            assert ask(ready["address"], b"[AOGPGS;CT6;]", context).startswith(code)


def test_a_scheduled_fault_happens() -> None:
    with program("--tls-mode", "clear", "--fault", "error=100%@0s") as (_, ready):
        answer = b""
        while b"DEVICE FAILURE" not in answer:  # the schedule begins right after the address is told
            answer = ask(ready["address"], b"[AOECHO;]")


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--tls-mode", "mutual"], 2, "--certificate"),
        (["--tls-mode", "mutual", "--certificate", "x"], 2, "--ca"),
        (["--tls-mode", "server", "--certificate", "/nowhere/x"], 1, "/nowhere/x: No such file"),
        (["--tls-mode", "clear", "--bind", "nowhere"], 2, "host:port"),
        (["--tls-mode", "clear", "--latency", "3"], 2, "unit"),
        (["--tls-mode", "clear", "--fault", "fire@1s"], 2, "no fault 'fire'"),
        (["--tls-mode", "clear", "--user", "a", "--users", "b"], 2, "exclude"),
        (["--tls-mode", "clear", "--users", "/nowhere/u"], 1, "/nowhere/u: No such file"),
        (["--tls-mode", "clear", "--password-file", "b"], 2, "--user"),
        (["--tls-mode", "clear", "--login-ca", "/nowhere/ca"], 1, "/nowhere/ca: No such file"),
        (["--tls-mode", "clear", "--login-ca", __file__], 1, "no PEM certificate"),
        (["--tls-mode", "clear", "--login-required", "20"], 2, "NUMBER:TEXT"),
        (["--tls-mode", "clear", "--session-expired", "20:A;B"], 2, "NUMBER:TEXT"),
    ],
)
def test_mistakes_are_told_clearly(
    arguments: list[str], code: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["simulate", *arguments]) == code
    assert text in capsys.readouterr().err


def test_a_port_that_is_taken_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert execute(["simulate", "--tls-mode", "clear", "--bind", address]) == 1
    assert f"cannot listen on {address}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content", ["[]", "identities: []", "identities: [{name: a, password: b}]", "roles: {a: b}", "{"]
)
def test_a_wrong_users_file_is_told(tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "users.yaml"
    file.write_text(content)
    assert execute(["simulate", "--tls-mode", "clear", "--users", str(file)]) == 1
    assert str(file) in capsys.readouterr().err
