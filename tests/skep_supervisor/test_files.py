"""Files: moved with the agent's rights only, whole or not at all."""

import asyncio
import os
from pathlib import Path

import pytest

from skep.kernel.errors import ForbiddenError, InvalidError, NotFoundError, TooLargeError
from skep.testing.wait import until


async def read(client, path, limit=1 << 24):
    """Return a file's content."""
    return b"".join([block async for block in client.get(str(path), limit)])


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 1_000_000, 5_000_000])
async def test_every_byte_comes_back(client, supervisor, size):
    """Content of any size is written and read unchanged, with the mode that was asked for."""
    content = os.urandom(size)
    path = supervisor.home / "deep/er/file"

    assert await client.put(str(path), content, 0o640) == size

    assert await read(client, path) == content
    assert path.stat().st_mode & 0o7777 == 0o640
    assert [name.name for name in path.parent.iterdir()] == ["file"]


async def test_connections_are_used_again(client, supervisor, run, command):
    """After each kind of answer, good or bad, the same connection serves the next request."""
    for _ in range(5):
        await client.put(str(supervisor.home / "f"), b"x" * 1000)
        assert await read(client, supervisor.home / "f") == b"x" * 1000
        with pytest.raises(NotFoundError):
            await read(client, supervisor.home / "none")
        with pytest.raises(TooLargeError):
            await read(client, supervisor.home / "f", 10)
        with pytest.raises(InvalidError):
            await client.put("relative", b"x" * 100_000)
        assert (await run(command("exit 0")))[0].code == 0

    assert len(client._idle) == 1


async def test_a_failed_write_leaves_nothing(client, supervisor):
    """Neither a folder in the way nor a missing right leaves a half file; the old content stays."""
    home = supervisor.home
    await client.put(str(home / "folder/file"), b"old")

    with pytest.raises(InvalidError):
        await client.put(str(home / "folder"), b"x" * 300_000)
    with pytest.raises((NotFoundError, InvalidError)):
        await client.put(str(home / "folder/file/below"), b"x" * 300_000)
    with pytest.raises(InvalidError):
        await client.put(str(home / "folder") + "/", b"x")

    assert sorted(str(path.relative_to(home)) for path in home.rglob("*")) == ["folder", "folder/file"]
    assert await read(client, home / "folder/file") == b"old"


async def test_an_upload_that_breaks_off_leaves_the_old_file(client, supervisor):
    """When the caller goes away in the middle, nothing is replaced and the temporary file goes."""
    path = supervisor.home / "file"
    await client.put(str(path), b"old")

    async def broken():
        yield b"x" * 100_000
        raise ConnectionError("the user went away")

    with pytest.raises(ConnectionError):
        await client.put(str(path), broken())

    await until(lambda: [found.name for found in supervisor.home.iterdir()] == ["file"], what="the half to be gone")
    assert await read(client, path) == b"old"


async def test_only_regular_files_are_read(client, supervisor, run, command):
    """A pipe does not block, a device gives nothing, a link is not followed, a folder is no file."""
    home = supervisor.home
    await run(command(f"cd {home}; mkfifo pipe; ln -s /etc/passwd link; mkdir folder"))

    for name in ("pipe", "link", "folder"):
        with pytest.raises(NotFoundError):
            await read(client, home / name)
    for name in ("/dev/zero", "/dev/tty", "/proc/self"):
        with pytest.raises((NotFoundError, ForbiddenError)):
            await read(client, name)


async def test_a_growing_file_is_not_read_for_ever(client, supervisor, run, command):
    """The limit holds for a file without a size of its own, too."""
    with pytest.raises(TooLargeError):
        await read(client, "/proc/self/maps", 10)


async def test_a_listing_says_what_things_are(client, supervisor, run, command):
    """Folders, files, links and others, with sizes and modes, depth first by name; links are not entered."""
    home = supervisor.home
    script = (
        f"cd {home}; mkdir -m 0750 a; echo hi > a/f; chmod 0604 a/f; ln -s / a/root; mkfifo a/p;"
        ' mkdir b; echo > "b/$(printf "x\\377")"; echo > "b/new\nline"'
    )
    await run(command(script))

    entries = await client.list(str(home), 99)
    found = [(e.path, 0 if e.is_dir else e.size, e.mode, e.is_dir, e.is_link) for e in entries]

    assert found == [
        ("a", 0, 0o750, True, False),
        ("a/f", 3, 0o604, False, False),
        ("a/p", 0, 0o644, False, False),
        ("a/root", 1, 0o777, False, True),
        ("b", 0, 0o755, True, False),
        ("b/new\nline", 1, 0o644, False, False),
        ("b/x�", 1, 0o644, False, False),
    ]
    for nothing in ("none", "a/f", "a/root"):
        assert await client.list(str(home / nothing), 99) == []


async def test_a_large_listing_comes_in_parts(client, supervisor):
    """Thousands of long names pass, up to what was asked for."""
    for number in range(3000):
        (supervisor.home / f"{number:05}{'é' * 100}").touch()

    entries = await client.list(str(supervisor.home), 5000)
    assert [entry.path[:5] for entry in entries] == [f"{number:05}" for number in range(3000)]
    assert len(await client.list(str(supervisor.home), 1234)) == 1234


async def test_a_very_deep_tree_is_listed_as_far_as_paths_go(client, supervisor, run, command):
    """A tree deeper than any path can name is no error; the first thing that is out of reach is named."""
    program = f"import os\nos.chdir({str(supervisor.home)!r})\nfor _ in range(3000): os.mkdir('dd'); os.chdir('dd')"
    await run(command("/usr/bin/python3", "-c", program))

    entries = await client.list(str(supervisor.home), 5000)

    assert 1000 < len(entries) < 3000
    assert all(entry.is_dir for entry in entries[:-1])
    lost = entries[-1]
    assert (lost.path, lost.is_dir, lost.size) == (f"{entries[-2].path}/dd", False, 0)
    assert len(str(supervisor.home)) + 1 + len(lost.path) >= 4096
    await run(command(f"rm -rf {supervisor.home}/dd"))


async def test_many_files_at_once(client, supervisor):
    """Ten uploads at the same time do not disturb each other."""
    await asyncio.gather(*(client.put(str(supervisor.home / str(n)), bytes([n]) * 200_000) for n in range(10)))

    for number in range(10):
        assert await read(client, supervisor.home / str(number)) == bytes([number]) * 200_000


@pytest.mark.root
@pytest.mark.parametrize("supervisor", ["two users"], indirect=True)
async def test_the_agents_links_lead_nowhere_new(client, supervisor, run, command):
    """Neither root's nor the supervisor's files are read, written or listed through a link of the agent's."""
    secret = supervisor.folder / "secret"
    secret.mkdir(mode=0o700)
    (secret / "key").write_text("of root")
    home = supervisor.home
    script = f"cd {home}; ln -s {secret} root; ln -s {secret}/key key; ln -s {supervisor.spool} spool; ln -s /etc etc"
    await run(command(script))

    for path in ("root/key", "key", f"spool/{command('x').id}.out"):
        with pytest.raises((ForbiddenError, NotFoundError)):
            await read(client, home / path)
    for path in ("root/planted", "spool/planted", "etc/planted"):
        with pytest.raises(ForbiddenError):
            await client.put(str(home / path), b"x")
    assert [entry.path for entry in await client.list(str(home), 99)] == ["etc", "key", "root", "spool"]
    assert await client.list(str(home / "root"), 99) == await client.list(str(secret), 99) == []

    await client.put(str(home / "key"), b"mine")
    assert (secret / "key").read_text() == "of root"
    written = home / "key"
    assert (written.stat().st_uid, written.stat().st_gid, written.is_symlink()) == (1000, 1000, False)
    assert not Path("/etc/planted").exists()


@pytest.mark.root
@pytest.mark.parametrize("supervisor", ["two users"], indirect=True)
async def test_the_agent_cannot_disturb_a_transfer(client, supervisor, run, command):
    """An agent that kills and stops all it may does not reach the child that moves files."""
    hostile = command("while :; do kill -STOP -1; kill -KILL -1; done 2>/dev/null")
    await client.exec(hostile)

    for number in range(20):
        await client.put(str(supervisor.home / "f"), bytes([number]) * 300_000)
        assert await read(client, supervisor.home / "f") == bytes([number]) * 300_000

    await client.kill_all()
