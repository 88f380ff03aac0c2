"""Asks whether keeper and server answer yet."""

import asyncio
import json
import socket
import ssl
from enum import StrEnum
from typing import Any

_ANSWER_S = 5.0


class Readiness(StrEnum):
    """How far a server has come."""

    READY = "ready"
    #: It lives, and waits for its database.
    WAITING = "waiting"
    #: It does not answer, or something else is missing.
    NOT_YET = "not yet"


def keeper_answers(path: str) -> bool:
    """Tell whether the keeper accepts connections."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
        probe.settimeout(1)
        try:
            probe.connect(path)
        except OSError:
            return False
        return True


async def server_ready(host: str, port: int, *, tls: bool) -> Readiness:
    """Tell what `/readyz` of the server on this machine says.

    The certificate is not looked at: the socket is our own and nothing secret is sent.
    """
    context = None
    if tls:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    try:
        async with asyncio.timeout(_ANSWER_S):
            reader, writer = await asyncio.open_connection(host.strip("[]"), port, ssl=context)
            try:
                writer.write(f"GET /readyz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
                answer = await reader.read()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return Readiness.NOT_YET
    return _read(answer)


def _read(answer: bytes) -> Readiness:
    head, _, body = answer.partition(b"\r\n\r\n")
    if head.split()[1:2] == [b"200"]:
        return Readiness.READY
    try:
        said: Any = json.loads(body)
        database = said["checks"]["database"]
    except (ValueError, TypeError, LookupError):
        return Readiness.NOT_YET
    return Readiness.NOT_YET if database == "ok" else Readiness.WAITING
