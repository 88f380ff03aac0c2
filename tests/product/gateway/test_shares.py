"""What one build may take of what all builds have together, between real sockets."""

import asyncio
import sys

import pytest
from indexes import allowing, indexes, opened

from skep.kernel.errors import LimitError, UnavailableError
from skep.product.blobs.space import Space
from skep.product.gateway.egress import EgressLimits
from skep.product.gateway.mirror.door_paths import file_path, place_of
from skep.product.gateway.mirror.shares import Room, Spool
from skep.product.gateway.model import LockedFile
from skep.product.gateway.upstream import UpstreamLimits
from skep.testing.package_index import serve_index
from skep.testing.packages import wheel
from skep.testing.wait import until

MIB = 1 << 20
ALPHA = wheel("alpha", "1.0")
#: More than what the kernel holds between a server and a reader who does not read.
LARGE = bytes(48 * MIB)


@pytest.fixture
def index():
    """An index of one package and a large file."""
    with serve_index() as served:
        served.python.append(ALPHA)
        served.tampered["/files/large.whl"] = LARGE
        yield served


def at(index, path: str, sha256: str = "") -> str:
    """Return the door's path of a file that no page named."""
    return f"/pypi/files/{file_path(sha256, place_of(index.url + path))}"


def drafts(folder) -> list:
    """List the files on their way."""
    return list((folder / "packages" / "drafts").iterdir())


@pytest.mark.parametrize("limit_bytes", [0, 1 << 30])
async def test_who_reads_slowly_holds_no_connection_to_an_index(index, tmp_path, limit_bytes) -> None:
    """A file without a digest is taken at the index' pace, too, whether files are kept or not: others can ask it."""
    limits = UpstreamLimits(at_once=1, patience_s=0.0)
    async with opened(
        tmp_path, indexes(index), allowing(index.host), upstream_limits=limits, limit_bytes=limit_bytes
    ) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(door.url.rpartition(":")[2]), limit=1024)
        writer.write(f"GET {at(index, '/files/large.whl')} HTTP/1.1\r\nConnection: close\r\n\r\n".encode())
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")

        async def others_are_answered() -> bool:
            return (await door.get("/pypi/simple/alpha/")).status == 200

        await until(others_are_answered, 30)
        assert await reader.read() == LARGE
        writer.close()
        await until(lambda: drafts(tmp_path) == [])


async def test_a_file_is_fetched_once_whatever_it_is_said_to_be(index, tmp_path) -> None:
    """Wrong digests are answered from what came for all: each is cut off, the right one and none come whole."""
    path = f"/files/{ALPHA.filename}"
    index.hold(path)
    async with opened(tmp_path, indexes(index), allowing(index.host)) as door:
        wrong = [asyncio.create_task(door.get(at(index, path, f"{number:064x}"))) for number in range(6)]
        right = [asyncio.create_task(door.get(at(index, path, sha256))) for sha256 in ("", ALPHA.sha256)]
        await until(lambda: index.count(path) == 1)
        await until(lambda: len(door.proxy._connections) == 8)
        index.release()
        assert all(got.broken for got in await asyncio.gather(*wrong))
        assert [got.body for got in await asyncio.gather(*right)] == [ALPHA.data] * 2
        assert index.count(path) == 1
        assert [place.name for place in (tmp_path / "packages/sha256").glob("*/*")] == [ALPHA.sha256]


async def test_a_door_has_a_few_files_on_their_way(index, tmp_path) -> None:
    """The next one is fetched when one has come; another build does not wait for that."""
    paths = [f"/files/{number}.whl" for number in range(12)]
    for path in paths:
        index.tampered[path] = path.encode()
        index.hold(path)
    limits = EgressLimits(answers=20)
    async with opened(tmp_path, indexes(index), allowing(index.host), limits=limits) as door:
        asking = [asyncio.create_task(door.get(at(index, path))) for path in paths[:11]]
        await until(lambda: len(index.requests) == 6)
        await until(lambda: len(door.proxy._connections) == 11)
        door.proxy.renew(door.proxy.policy, sites={"pypi": door.mirrors.python()})
        other = asyncio.create_task(door.get(at(index, paths[11])))
        await until(lambda: index.count(paths[11]) == 1)
        assert len(index.requests) == 7
        index.release()
        assert [got.body for got in await asyncio.gather(*asking, other)] == [path.encode() for path in paths]


async def test_what_is_no_address_takes_no_place(index, tmp_path) -> None:
    """However often it is asked for."""
    odd = LockedFile(filename="odd-1.whl", url="ftp://a.example/odd-1.whl", sha256="0" * 64)
    fine = LockedFile(filename=ALPHA.filename, url=f"{index.url}/files/{ALPHA.filename}", sha256=ALPHA.sha256)
    async with opened(tmp_path, indexes(index), allowing(index.host)) as door:
        door.hold_locked([odd, fine])
        for _ in range(10):
            assert (await door.get(f"/locked/{odd.filename}")).status == 404
        assert (await door.get(f"/locked/{fine.filename}")).body == ALPHA.data
        assert drafts(tmp_path) == []


async def test_files_on_their_way_take_so_much_of_the_disk(index, tmp_path) -> None:
    """One of more than a door's share is broken off and leaves nothing; another one comes."""
    async with opened(tmp_path, indexes(index), allowing(index.host), limit_bytes=MIB, spool_bytes=10 * MIB) as door:
        assert (await door.get(at(index, "/files/large.whl"))).broken
        assert "This build has too many bytes" in door.records[-1].reason
        await until(lambda: drafts(tmp_path) == [])
        assert (await door.get(at(index, f"/files/{ALPHA.filename}"))).body == ALPHA.data


async def test_nothing_is_fetched_onto_a_disk_that_is_full(index, tmp_path) -> None:
    """Who asks is told; what is there already is given."""
    free = [sys.maxsize]
    space = Space(free_bytes=lambda: free[0], least_bytes=MIB)
    path = f"/files/{ALPHA.filename}"
    async with opened(tmp_path, indexes(index), allowing(index.host), space=space) as door:
        assert (await door.get(at(index, path, ALPHA.sha256))).body == ALPHA.data
        free[0] = 0
        refused = await door.get(at(index, "/files/large.whl"))
        assert (refused.status, refused.phrase) == (
            503,
            "The disk of the data folder is nearly full: no package files are fetched",
        )
        assert (await door.get(at(index, path, ALPHA.sha256))).body == ALPHA.data
        assert drafts(tmp_path) == []
    assert index.count("/files/large.whl") == 0


async def taking(spool: Spool) -> int:
    """Take as much as a new door gets, in bytes."""
    room, size = await spool.share().room(), 0
    while True:
        try:
            room.grow(1)
        except LimitError:
            return size
        size += 1


async def test_however_many_take_what_they_can_one_more_finds_room() -> None:
    """The first has two thirds; each one after it has two thirds of what is left."""
    spool = Spool(900, Space())
    assert [await taking(spool) for _ in range(3)] == [600, 200, 66]


async def test_a_door_that_has_its_share_keeps_no_other_one_from_a_file() -> None:
    """What it began and can take no further goes on at the cost of who joined; all of it is given back."""
    spool = Spool(900, Space())
    hostile, other = spool.share(), spool.share()
    full, begun = await hostile.room(), await hostile.room()
    full.grow(600)
    with pytest.raises(LimitError):
        begun.grow(10)
    begun.join(other)
    begun.grow(10)
    for room in (full, begun, begun):
        room.close()
    assert await taking(spool) == 600


async def test_room_that_was_given_back_does_not_grow() -> None:
    """Whatever comes late."""
    spool = Spool(900, Space(free_bytes=lambda: 0, least_bytes=1))
    room: Room = await spool.share().room()
    with pytest.raises(UnavailableError):
        room.grow(1)
    room.close()
    room.grow(1)
