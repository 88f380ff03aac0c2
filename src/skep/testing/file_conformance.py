"""What every driver must do with files and doors, as tests; part of `DriverConformance`."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator

from skep.kernel.errors import ForbiddenError, InvalidError, NotFoundError, TooLargeError
from skep.testing.behaviour import Behaviour
from skep.testing.driver_tools import MIB, ConformingDriver, DriverTools, NewSpec, read, refused, with_limits


class FileConformance(DriverTools):
    """One test a promise of `Files` and `Doors`."""

    async def test_files_go_in_and_come_out(self, driver: ConformingDriver, new_spec: NewSpec) -> None:
        """`put` makes folders, takes bytes and streams, and replaces what is there; `get` returns it."""
        handle = await driver.create(new_spec())
        content = bytes(range(256)) * 1024

        async def stream() -> AsyncIterator[bytes]:
            yield content[:100_000]
            yield content[100_000:]

        await driver.put(handle, "/home/agent/a/b/file", b"old", mode=0o644)
        await driver.put(handle, "/home/agent/a/b/file", stream(), mode=0o640)
        await driver.put(handle, "/home/agent/empty", b"")

        assert await read(driver, handle, "/home/agent/a/b/file") == content
        assert await read(driver, handle, "/home/agent/empty") == b""
        entries = await driver.list(handle, "/home/agent/a")
        assert [(entry.path, entry.is_dir) for entry in entries] == [("b", True), ("b/file", False)]
        assert (entries[1].size, entries[1].mode) == (len(content), 0o640)
        command = self.command(Behaviour(show=("/home/agent/a/b/file",)))
        await driver.exec(handle, command)
        shown = b"".join([chunk.data for chunk in await self.collect(driver, handle, command.id)])
        assert shown == content

    async def test_what_cannot_be_read_is_refused(self, driver: ConformingDriver, new_spec: NewSpec) -> None:
        """An absent file, a folder, a file over the limit: each has its error; a full one at the limit is given."""
        handle = await driver.create(new_spec())
        await driver.put(handle, "/home/agent/folder/file", b"x" * 1000)

        with refused(NotFoundError):
            await read(driver, handle, "/home/agent/none")
        with refused(NotFoundError):
            await read(driver, handle, "/home/agent/folder")
        with refused(TooLargeError):
            await read(driver, handle, "/home/agent/folder/file", limit=999)
        assert len(await read(driver, handle, "/home/agent/folder/file", limit=1000)) == 1000
        with refused(InvalidError, NotFoundError):
            await driver.put(handle, "relative", b"")

    async def test_links_lead_nowhere_new(self, driver: ConformingDriver, new_spec: NewSpec) -> None:
        """Through a link of the agent's, neither the driver nor the server reads or writes what the agent may not."""
        handle = await driver.create(new_spec())
        links = {"/home/agent/file": "/etc/shadow", "/home/agent/out": "/etc", "/home/agent/up": "../../.."}
        await self.run(driver, handle, self.command(Behaviour(links=links)))

        with refused(NotFoundError, ForbiddenError):
            await read(driver, handle, "/home/agent/file")
        with refused(NotFoundError, ForbiddenError):
            await read(driver, handle, "/home/agent/out/shadow")
        with refused(ForbiddenError, NotFoundError):
            await driver.put(handle, "/home/agent/out/planted", b"x")
        entries = await driver.list(handle, "/home/agent")
        assert [(entry.path, entry.is_link, entry.is_dir) for entry in entries if entry.is_link] == [
            ("file", True, False),
            ("out", True, False),
            ("up", True, False),
        ]
        await driver.put(handle, "/home/agent/file", b"mine")
        assert await read(driver, handle, "/home/agent/file") == b"mine"

    async def test_listings_are_ordered_and_bounded(self, driver: ConformingDriver, new_spec: NewSpec) -> None:
        """A listing is depth first by name, no longer than asked for; an absent folder is empty."""
        handle = await driver.create(new_spec())
        for path in ("b", "a/z", "a/b/c", "c"):
            await driver.put(handle, f"/home/agent/tree/{path}", b"1")

        listed = [entry.path for entry in await driver.list(handle, "/home/agent/tree")]

        assert listed == ["a", "a/b", "a/b/c", "a/z", "b", "c"]
        assert len(await driver.list(handle, "/home/agent/tree", limit=2)) == 2
        assert await driver.list(handle, "/home/agent/none") == []

    async def test_the_disk_has_an_end(self, driver: ConformingDriver, new_spec: NewSpec) -> None:
        """Beyond the disk limit a file is refused; the sandbox lives on and tells what its commands print."""
        if not (await driver.capabilities()).limits_enforced.get("disk"):
            return
        handle = await driver.create(with_limits(new_spec(), disk_bytes=32 * MIB))

        with refused(TooLargeError):
            await driver.put(handle, "/home/agent/big", bytes(64 * MIB))

        assert (await self.run(driver, handle, self.command(Behaviour(stdout="alive"))))[1] == "alive"

    async def test_a_door_leads_to_the_server(self, driver: ConformingDriver, new_spec: NewSpec) -> None:
        """What connects to a door inside reaches the socket that `listen` returned; it may be opened again."""
        if not (await driver.capabilities()).doors:
            return
        handle = await driver.create(dataclasses.replace(new_spec(), doors=(80,)))
        (await driver.listen(handle, 80)).close()
        listener = await driver.listen(handle, 80)
        listener.setblocking(False)

        async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"welcome\n")
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(greet, sock=listener):
            exit_, stdout, _ = await self.run(driver, handle, self.command(Behaviour(listen_to=80)))

        assert (stdout, exit_.code) == ("welcome\n", 0)
