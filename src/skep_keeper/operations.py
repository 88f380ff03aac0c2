"""Answers requests: which part of the keeper does what, and how the result is worded."""

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from skep_keeper import bundle
from skep_keeper import vocabulary as v
from skep_keeper.layers import Layers
from skep_keeper.leftovers import Leftovers
from skep_keeper.sandboxes import Found, Sandboxes

VERSION = 1
#: What a shared kernel means, in words for users.
NOT_PROTECTED = (
    "a fault in the Linux kernel, which all sandboxes share with the host",
    "timing and cache side channels between sandboxes on one processor",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is said in return: one object, or many items; at most one descriptor, which the receiver owns."""

    values: dict[str, Any] = field(default_factory=dict[str, Any])
    items: list[Any] | None = None
    descriptor: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the keeper says of itself."""

    instance: str
    disk: str
    fingerprint: str
    runc: str
    kernel: str


class Operations:
    """Carries out the vocabulary."""

    def __init__(self, facts: Facts, sandboxes: Sandboxes, layers: Layers, leftovers: Leftovers) -> None:
        self._facts = facts
        self._sandboxes = sandboxes
        self._layers = layers
        self._leftovers = leftovers
        self._table: dict[type, Callable[[Any], Answer]] = {
            v.Hello: self._hello,
            v.Create: self._create,
            v.Destroy: self._destroy,
            v.ListAll: self._list,
            v.Inspect: self._inspect,
            v.Kill: self._kill,
            v.Listen: self._listen,
            v.Spool: self._spool,
            v.Seal: self._seal,
            v.Layers: lambda _: Answer(items=list(layers.names())),
            v.DropLayer: self._drop_layer,
            v.Leftovers: lambda _: Answer(items=list(leftovers.names())),
            v.Sweep: lambda _: Answer(items=list(leftovers.sweep())),
            v.Fingerprint: lambda _: Answer(values={"fingerprint": facts.fingerprint}),
        }

    def answer(self, request: v.Request) -> Answer:
        """Carry out one request.

        Raises:
            KeeperError: it was refused, or failed.
            OSError: the machine failed.
        """
        return self._table[type(request)](request)

    def _hello(self, _: v.Hello) -> Answer:
        limits = self._sandboxes.limits
        enforced = {
            "cpus": limits["cpu"],
            "memory": limits["memory"],
            "pids": limits["pids"],
            "disk": True,
            "open_files": True,
            "output": True,
        }
        return Answer(
            values={
                "version": VERSION,
                "instance": self._facts.instance,
                "pid": os.getpid(),
                "isolation": "container",
                "disk_limit": self._facts.disk,
                "limits_enforced": enforced,
                "not_protected": list(NOT_PROTECTED),
                "versions": {"runc": self._facts.runc, "linux": self._facts.kernel},
            }
        )

    def _create(self, request: v.Create) -> Answer:
        return Answer(values=_worded(self._sandboxes.create(request.spec)))

    def _destroy(self, request: v.Destroy) -> Answer:
        self._sandboxes.destroy(request.id)
        return Answer()

    def _list(self, _: v.ListAll) -> Answer:
        return Answer(items=[_worded(found) for found in self._sandboxes.all()])

    def _inspect(self, request: v.Inspect) -> Answer:
        found, usage, left = self._sandboxes.inspect(request.id)
        return Answer(
            values={
                **_worded(found),
                "oom_kills": usage.oom_kills,
                "memory_bytes": usage.memory_bytes,
                "memory_peak_bytes": usage.memory_peak_bytes,
                "cpu_seconds": usage.cpu_seconds,
                "pids": usage.pids,
                "pids_reached": found.spec is not None and bundle.pids_reached(found.spec.pids, usage),
                "disk_left_bytes": None if left is None else left.bytes,
                "disk_left_files": None if left is None else left.files,
            }
        )

    def _kill(self, request: v.Kill) -> Answer:
        self._sandboxes.kill(request.id)
        return Answer()

    def _listen(self, request: v.Listen) -> Answer:
        listener: socket.socket = self._sandboxes.listen(request.id, request.port)
        return Answer(descriptor=listener.detach())

    def _spool(self, request: v.Spool) -> Answer:
        return Answer(descriptor=self._sandboxes.spool(request.id, request.command, request.part))

    def _seal(self, request: v.Seal) -> Answer:
        size = self._sandboxes.seal(
            request.id, request.paths, request.layer, writable=request.writable, changes=request.changes
        )
        return Answer(values={"size": size})

    def _drop_layer(self, request: v.DropLayer) -> Answer:
        self._sandboxes.drop_layer(request.layer)
        return Answer()


def _worded(found: Found) -> dict[str, Any]:
    return {"id": found.id, "made": found.made, "alive": found.alive, "socket": found.socket}
