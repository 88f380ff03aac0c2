"""The resolver that aiohttp is given: a name is resolved once, and what may not be dialled is never answered.

aiohttp asks it about names only; whoever asks for a number has it judged beforehand.
"""

import socket

from aiohttp.abc import AbstractResolver, ResolveResult

from skep.product.gateway.model import Policy
from skep.product.gateway.policy import decide_address
from skep.product.gateway.ports import Resolver


class AddressRefusedError(OSError):
    """A name led to an address that may not be dialled."""


class JudgedResolver(AbstractResolver):
    """Gives aiohttp no address but those that the policy lets be dialled."""

    def __init__(self, policy: Policy, resolver: Resolver) -> None:
        self._policy = policy
        self._resolver = resolver

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002  always unspecified here
    ) -> list[ResolveResult]:
        """Resolve once, judge each address."""
        addresses = await self._resolver.resolve(host, port)
        if not addresses:
            raise OSError(f"the name {host} is not known")
        judged = [(address, decide_address(self._policy, host, port, address)) for address in addresses]
        allowed = [address for address, verdict in judged if verdict.allowed]
        if not allowed:
            raise AddressRefusedError(judged[0][1].reason)
        return [_result(host, port, address) for address in allowed]

    async def close(self) -> None:
        """Nothing is held."""


def _result(host: str, port: int, address: str) -> ResolveResult:
    return ResolveResult(
        hostname=host,
        host=address,
        port=port,
        family=socket.AF_INET6 if ":" in address else socket.AF_INET,
        proto=0,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )
