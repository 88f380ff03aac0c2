"""Output: kept within its limit, resumable, and never a way to fill memory, disk or the server."""

import asyncio
import json
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from skep.adapters.supervisor.client import SupervisorClient
from skep.adapters.supervisor.spool import read_exit, read_records
from skep.product.sandboxes.model import ExitReason, Stream
from skep.testing.supervisor import start_supervisor
from skep.testing.wait import until

MIB = 1 << 20


def data(chunks, stream):
    """Return what came on one stream."""
    return b"".join(chunk.data for chunk in chunks if chunk.stream is stream)


def disk_usage(folder):
    """Return the size of all files in a folder, some of which may just be going."""
    total = 0
    for path in folder.iterdir():
        with suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


async def test_output_resumes_at_every_chunk(client, run, command):
    """From every `next_offset` exactly the rest comes, while it runs and afterwards."""
    counting = command("for i in $(seq 300); do echo line $i; echo error $i >&2; done")
    await client.exec(counting)
    whole = [chunk async for chunk in client.output(counting.id)]

    assert data(whole, Stream.STDOUT) == b"".join(b"line %d\n" % n for n in range(1, 301))
    assert data(whole, Stream.STDERR) == b"".join(b"error %d\n" % n for n in range(1, 301))
    for index in range(0, len(whole), 29):
        rest = [chunk async for chunk in client.output(counting.id, whole[index].next_offset)]
        assert rest == whole[index + 1 :]


async def test_output_comes_as_it_is_printed(client, command):
    """A follower sees each piece before the next is printed; the pieces are marked with their time."""
    talking = command("echo one; sleep 0.3; echo two")
    await client.exec(talking)

    chunks = [chunk async for chunk in client.output(talking.id)]

    assert [chunk.data for chunk in chunks] == [b"one\n", b"two\n"]
    assert chunks[1].at_ms - chunks[0].at_ms >= 250


async def test_more_than_the_limit_keeps_both_ends(client, run, command):
    """Of 8 MiB with a limit of 1 MiB: the first half exactly, at least 7/8 of the last half, true notes."""
    printing = command("seq 1000000 1999999; echo last")
    exit_, out, _ = await run(printing)

    chunks = [chunk async for chunk in client.output(printing.id)]
    notes = [chunk.data.decode() for chunk in chunks if chunk.stream is Stream.SYSTEM]
    total = 8_000_000 + 5
    head = "".join(f"{n}\n" for n in range(1_000_000, 1_100_000)).encode()[: MIB // 2]
    assert exit_.truncated
    assert out.startswith(head)
    assert out.endswith(b"1999999\nlast\n")
    assert 15 * MIB // 16 <= len(out) <= MIB
    assert notes == [
        "[skep: output from here on is shown when the command ends, and of too much only the last part]\n",
        f"[skep: {total - len(out)} bytes of output were left out here]\n",
    ]


@pytest.mark.parametrize("supervisor", ["one user"], indirect=True)
async def test_endless_output_stays_within_bounds(client, command, supervisor):
    """200 MB of output cost neither disk nor memory beyond the limit."""
    printing = command("head -c 200000000 /dev/zero")
    await client.exec(printing)
    sizes = []

    def over():
        sizes.append(disk_usage(supervisor.spool))
        return (supervisor.spool / f"{printing.id}.exit").exists()

    await until(over)

    assert max(sizes) < 1.5 * MIB
    status = (Path("/proc") / str(supervisor.pid) / "status").read_text()
    assert int(status.split("VmHWM:")[1].split()[0]) < 20_000


async def test_single_bytes_do_not_fill_the_disk(run, command, supervisor):
    """The heads of many small pieces count, too."""
    program = "import os\nfor _ in range(150_000): os.write(1, b'x')"

    exit_, out, _ = await run(command("/usr/bin/python3", "-c", program))

    assert disk_usage(supervisor.spool) < 2 * MIB + 8192
    assert exit_.truncated or len(out) == 150_000


async def test_a_reader_that_stops_costs_nothing(supervisor, client, run, command):
    """Who asks for output and does not read it blocks neither the command nor others."""
    printing = command("head -c 900000 /dev/zero")
    await client.exec(printing)
    lazy = SupervisorClient(supervisor.socket)
    reading = lazy.output(printing.id)
    await anext(reading)

    assert (await client.wait(printing.id)).code == 0
    assert (await run(command("echo quick")))[1] == b"quick\n"

    rest = [chunk async for chunk in reading]
    assert sum(len(chunk.data) for chunk in rest) > 800_000
    await lazy.close()


async def test_a_dead_supervisors_spool_is_read(client, run, command, supervisor):
    """After a crash the files tell what was printed and how the commands that were over had ended."""
    ended, going = command("echo done; exit 4"), command("echo begun; sleep 1000")
    await run(ended)
    await client.exec(going)
    async for _ in client.output(going.id):
        break

    supervisor.kill()

    with (supervisor.spool / f"{ended.id}.exit").open("rb") as file:
        exit_ = read_exit(file)
    assert exit_ is not None
    assert (exit_.reason, exit_.code) == (ExitReason.EXITED, 4)
    assert not (supervisor.spool / f"{going.id}.exit").exists()
    for known, words in ((ended, b"done\n"), (going, b"begun\n")):
        with (supervisor.spool / f"{known.id}.out").open("rb") as file:
            assert b"".join(chunk.data for chunk in read_records(file)) == words


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 KiB."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", tmp_path], check=True)
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


@pytest.mark.root
async def test_a_full_disk_loses_output_but_not_the_end(command, small_disk):
    """On a spool without space the command goes on, its end is kept, and what is missing is said."""
    with start_supervisor(output_bytes=MIB, spool=small_disk) as supervisor:
        client = SupervisorClient(supervisor.socket)
        printing = command("head -c 2000000 /dev/zero; echo end >&2; exit 6")
        await client.exec(printing)
        exit_ = await client.wait(printing.id)
        chunks = [chunk async for chunk in client.output(printing.id)]

        assert (exit_.code, exit_.truncated) == (6, True)
        assert 0 < sum(len(chunk.data) for chunk in chunks) < 256 * 1024
        assert json.loads((small_disk / f"{printing.id}.exit").read_text())["code"] == 6
        assert (await client.hello())["version"] == 1
        assert "Traceback" not in supervisor.complaints
        await client.close()


async def test_many_may_follow_one_command(client, command):
    """Ten followers from different offsets all get the same bytes."""
    printing = command("for i in 1 2 3 4 5; do echo $i; sleep 0.02; done")
    await client.exec(printing)

    async def follow():
        return [chunk async for chunk in client.output(printing.id)]

    results = await asyncio.gather(*(follow() for _ in range(10)))

    assert all(result == results[0] for result in results)
    assert data(results[0], Stream.STDOUT) == b"1\n2\n3\n4\n5\n"
