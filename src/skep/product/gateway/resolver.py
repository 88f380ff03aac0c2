"""The machine's own resolver."""

import asyncio
import socket


class SystemResolver:
    """Resolves as the machine does, in the event loop's threads."""

    async def resolve(self, host: str, port: int) -> list[str]:
        """Return the addresses of *host*, in the system's order."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError:
            return []
        return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))
