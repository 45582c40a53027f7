"""A client that asks on and on and connects again when it must: `steady_client.py HOST PORT CA CERTIFICATE KEY`.

One line for each answer: seconds since the epoch, then `ok` or what it was told, or `lost` where the connection ended.
"""

from __future__ import annotations

import socket
import ssl
import sys
import time

_PAUSE = 0.02  # seconds between two requests


def main(host: str, port: int, ca: str, certificate: str, key: str) -> None:
    context = ssl.create_default_context(cafile=ca)
    context.check_hostname = False  # the address is not in the certificate
    context.load_cert_chain(certificate, key)
    number = 0
    while True:
        try:
            with (
                socket.create_connection((host, port), timeout=1) as tcp,
                context.wrap_socket(tcp, server_hostname=host) as tls,
            ):
                while True:
                    number += 1
                    request = b"[AOECHO;AG%d;]" % number
                    tls.sendall(request)
                    answer = b""
                    while not answer.endswith(b"]"):
                        data = tls.recv(4096)
                        if not data:
                            raise ConnectionError
                        answer += data
                    _say("ok" if answer == request else answer.decode())
                    time.sleep(_PAUSE)
        except OSError:
            _say("lost")
            time.sleep(_PAUSE)


def _say(what: str) -> None:
    print(f"{time.time():.3f} {what}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
