"""One plain HTTP request, passed on and answered; then both connections are over.

One request per connection: nothing can be smuggled behind it to somebody else's request.
"""

import asyncio
from dataclasses import dataclass

from skep.product.gateway import head as heads
from skep.product.gateway.model import Refusal
from skep.product.gateway.relay import Budget, Pair, copy_body


class RefusedError(Exception):
    """The request is not passed on; becomes an answer with *status* and the reason as its text."""

    def __init__(self, status: str, reason: str, *, hint: str = "", refusal: Refusal | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.hint = hint
        #: None: nobody refused, it cannot be done.
        self.refusal = refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A request, ready to be sent on."""

    method: bytes
    head: bytes
    framing: heads.Framing


async def forward(client: Pair, upstream: Pair, request: Outgoing, budget: Budget, idle_s: float) -> None:
    """Send *request* with its body upstream, and give the answer back as it comes.

    Raises:
        RefusedError: there is no answer that could be given back.
        EOFError, TimeoutError, OSError, BadHeadError, LimitPassedError: it broke off within the answer.
    """
    upstream[1].write(request.head)
    sending = asyncio.create_task(copy_body(client[0], upstream[1], request.framing, budget.count_up, idle_s))
    try:
        answer = await _read_answer(upstream, idle_s)
        # 100 Continue and 103 Early Hints come before the answer itself.
        while answer.status < 200:
            client[1].write(heads.forwarded_response(answer))
            await client[1].drain()
            answer = await _read_answer(upstream, idle_s)
        framing = heads.response_framing(answer, request.method)
        client[1].write(heads.forwarded_response(answer))
        await copy_body(upstream[0], client[1], framing, budget.count_down, idle_s)
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def _read_answer(upstream: Pair, idle_s: float) -> heads.ResponseHead:
    try:
        async with asyncio.timeout(idle_s):
            data = await upstream[0].readuntil(b"\r\n\r\n")
        answer = heads.parse_response(data)
        heads.response_framing(answer, b"GET")
    except (heads.BadHeadError, asyncio.LimitOverrunError, EOFError) as error:
        raise RefusedError("502 Bad Gateway", "the server's answer is no HTTP") from error
    except TimeoutError as error:
        raise RefusedError("504 Gateway Timeout", "the server did not answer in time") from error
    if answer.status == 101:
        raise RefusedError("502 Bad Gateway", "the server changed the protocol unasked")
    return answer
