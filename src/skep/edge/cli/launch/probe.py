"""Asks whether keeper and server answer yet."""

import asyncio
import socket
import ssl

_ANSWER_S = 5.0


def keeper_answers(path: str) -> bool:
    """Tell whether the keeper accepts connections."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
        probe.settimeout(1)
        try:
            probe.connect(path)
        except OSError:
            return False
        return True


async def server_ready(host: str, port: int, *, tls: bool) -> bool:
    """Tell whether `/readyz` of the server on this machine says 200.

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
                line = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
    return line.split()[1:2] == [b"200"]
