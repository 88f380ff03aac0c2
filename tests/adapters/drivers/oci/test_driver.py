"""The `oci` driver on real sandboxes: limits that hold, endings told apart, files sealed, deaths survived."""

import asyncio
import signal
import socket
import time

import pytest

from skep.adapters.drivers.oci.driver import OciDriver
from skep.adapters.drivers.oci.keeper import KeeperClient
from skep.kernel.errors import ConflictError, InvalidError, NotFoundError, UnavailableError
from skep.product.sandboxes.model import Command, CommandId, CommandUser, ExitReason, Isolation, LayerId
from skep.product.sandboxes.ports import Doors, Driver, Files, Leftovers, Output, Sealing
from skep.testing.wait import until

pytestmark = pytest.mark.root

PATH = {"PATH": "/opt/env/bin:/opt/skep/bin:/usr/local/bin:/usr/bin:/bin", "HOME": "/home/agent"}
LAYER = LayerId("a" * 64)


def command(name, script, **more):
    """Return a command that runs a shell script."""
    return Command(id=CommandId(name), argv=("/bin/sh", "-c", script), env=PATH, **more)


def python(name, script, **more):
    """Return a command that runs a Python script."""
    return Command(id=CommandId(name), argv=("/usr/bin/python3", "-c", script), env=PATH, **more)


async def run(driver, handle, what):
    """Run a command to its end; return how it ended, and all that it printed."""
    await driver.exec(handle, what)
    async with asyncio.timeout(60):
        text = b"".join([chunk.data async for chunk in driver.output(handle, what.id)])
        return await driver.wait(handle, what.id), text.decode()


async def test_it_is_what_the_product_asks_for(driver):
    """Every port and extra that it claims to be."""
    for port in (Output, Files, Doors, Sealing, Leftovers):
        assert isinstance(driver, port)
    typed: Driver = driver
    told = await typed.capabilities()
    assert told.isolation is Isolation.CONTAINER
    assert all(told.limits_enforced.values())
    assert told.disk_limit == "loop"
    assert await driver.base_fingerprint()


async def test_what_an_agent_finds(driver, new_spec):
    """The agent's user, its folders, uv, certificates; nobody else's processes, no network but loopback."""
    handle = await driver.create(new_spec())
    exit_, text = await run(
        driver,
        handle,
        command(
            "look",
            "id -u; pwd; ls /proc | grep -c '^[0-9]'; uv --version; touch /app/x /opt/env/x /home/agent/x /tmp/x"
            " /run/secrets/x /run/skep/x /run/skep/artifacts/x && echo written;"
            " head -c 5 /etc/ssl/certs/ca-certificates.crt; cat /proc/net/dev | grep -c :; ls /sys 2>&1;"
            " touch /usr/x /etc/x /x 2>&1; cat /proc/1/environ 2>&1",
        ),
    )

    assert exit_.code != 0
    lines = text.splitlines()
    assert lines[:2] == ["1000", "/app"]
    assert int(lines[2]) <= 5
    assert lines[3].startswith("uv ")
    assert lines[4] == "written"
    assert "No such file or directory" in text
    assert text.count("Read-only file system") + text.count("Permission denied") >= 3


async def test_root_inside_is_root_of_nothing(driver, new_spec):
    """Who asks for root gets uid 0 without a capability."""
    handle = await driver.create(new_spec())
    _, text = await run(
        driver,
        handle,
        command("root", "id -u; grep CapEff /proc/self/status; mount -t tmpfs x /tmp 2>&1", user=CommandUser.ROOT),
    )

    assert text.startswith("0\nCapEff:\t0000000000000000\n")
    assert "denied" in text or "permitted" in text or "superuser" in text


ATTACKS = {
    "user namespace": "unshare -U true",
    "user namespace by clone": "import ctypes; exit(ctypes.CDLL(None).syscall(56, 0x10000011, 0, 0, 0, 0) < 0)",
    "clone3": "import ctypes; exit(ctypes.CDLL(None).syscall(435, 0, 0) < 0)",
    "vsock": "import socket; socket.socket(40, 1, 0)",
    "raw packet": "import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)",
    "raw socket": "import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)",
    "crypto socket": "import socket; socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET, 0)",
    "netfilter": "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)",
    "io_uring": "import ctypes; exit(ctypes.CDLL(None).syscall(425, 1, bytes(200)) < 0)",
    "keyctl": "import ctypes; exit(ctypes.CDLL(None).syscall(250, 0, 0) < 0)",
    "bpf": "import ctypes; exit(ctypes.CDLL(None).syscall(321, 0, bytes(200), 200) < 0)",
    "low port": "import socket; socket.create_server(('127.0.0.1', 81))",
    "device": "import os; os.mknod('/tmp/d', 0o60600, os.makedev(7, 0))",
    "trace the supervisor": "import ctypes; exit(ctypes.CDLL(None).ptrace(0x4206, 1, 0, 0) < 0)",
    "kill the supervisor": "import os; os.kill(1, 9)",
    "sysctl": "open('/proc/sys/kernel/hostname', 'w').write('x')",
    "outside": "import socket; socket.create_connection(('1.1.1.1', 53), 2)",
    "names": "import socket; socket.getaddrinfo('pypi.org', 443)",
    "spool": "import os; os.listdir('/opt/skep/spool')",
}


async def test_attacks_fail(driver, new_spec):
    """What an agent must not be able to do, tried from inside."""
    handle = await driver.create(new_spec())
    for number, (name, script) in enumerate(ATTACKS.items()):
        what = command(f"a{number}", script) if script.startswith("unshare") else python(f"a{number}", script)
        exit_, text = await run(driver, handle, what)
        assert exit_.code == 1, (name, exit_, text)
    assert (await driver.inspect(handle)).alive


async def test_memory_that_runs_out(driver, new_spec):
    """The memory hog is killed and called so; a later failure is not blamed on memory."""
    handle = await driver.create(new_spec())
    exit_, _ = await run(driver, handle, python("hog", "x = bytearray(400 << 20)"))
    assert exit_.reason is ExitReason.OUT_OF_MEMORY
    assert (await driver.inspect(handle)).oom_kills >= 1

    exit_, _ = await run(driver, handle, command("later", "exit 3"))
    assert (exit_.reason, exit_.code) == (ExitReason.EXITED, 3)
    exit_, _ = await run(driver, handle, command("killed", "kill -9 $$"))
    assert (exit_.reason, exit_.signal) == (ExitReason.SIGNALED, signal.SIGKILL)


async def test_a_fork_bomb_stays_small(driver, new_spec):
    """Processes are limited, and the supervisor can still end the bomb."""
    handle = await driver.create(new_spec(limits={"pids": 40}))
    script = "import os, time\nwhile True:\n try: os.fork()\n except OSError: time.sleep(1)"
    bomb = python("bomb", script, timeout_s=60)
    await driver.exec(handle, bomb)

    async def full():
        return (await driver.inspect(handle)).pids >= 30

    await until(full)
    assert (await driver.inspect(handle)).pids <= 40
    await driver.signal(handle, bomb.id, signal.SIGKILL)
    async with asyncio.timeout(20):
        await driver.wait(handle, bomb.id)
    await driver.seal(handle, ("/app",), LAYER, writable=False)
    assert (await driver.inspect(handle)).pids == 1
    await driver.drop_layer(LAYER)


async def test_a_full_disk_silences_nobody(driver, new_spec):
    """The agent's disk ends where it was told to; its output and its end are kept all the same."""
    handle = await driver.create(new_spec(limits={"disk_bytes": 32 << 20}))
    exit_, text = await run(
        driver,
        handle,
        command(
            "fill",
            "i=0; while head -c 1000000 /dev/zero > /tmp/$i; do i=$((i+1)); done; df -m /tmp | tail -1;"
            " echo full after $i; exit 7",
        ),
    )

    assert (exit_.reason, exit_.code) == (ExitReason.EXITED, 7)
    assert 20 <= int(text.split("full after ")[1]) <= 33
    exit_, text = await run(driver, handle, command("after", "echo still here"))
    assert (exit_.code, text) == (0, "still here\n")


async def test_processor_time_is_limited(driver, new_spec):
    """A busy loop gets its share and no more."""
    handle = await driver.create(new_spec(limits={"cpus": 0.2}))
    began, before = time.monotonic(), (await driver.inspect(handle)).cpu_seconds
    exit_, _ = await run(driver, handle, python("busy", "while True: pass", timeout_s=1.0, grace_s=0.1))

    assert exit_.reason is ExitReason.TIMED_OUT
    used = (await driver.inspect(handle)).cpu_seconds - before
    assert used <= 0.2 * (time.monotonic() - began) + 0.1


async def test_open_files_are_limited(driver, new_spec):
    """Descriptors run out for the agent alone."""
    handle = await driver.create(new_spec(limits={"open_files": 100}))
    script = (
        "import os\ntry:\n while 1: os.dup(0)\nexcept OSError as e: print(e.errno, os.listdir('/proc/self/fd')[-1:])"
    )
    exit_, text = await run(driver, handle, python("files", script))

    assert "24" in text or exit_.code == 1
    assert (await run(driver, handle, command("after", "echo ok")))[1] == "ok\n"


async def test_output_and_end_survive_the_supervisor(driver, new_spec, keeper):
    """After process 1 has died, what it had kept is still read, to the last whole record."""
    spec = new_spec()
    handle = await driver.create(spec)
    await run(driver, handle, command("done", "echo one; exit 4"))
    running = command("running", "echo two; sleep 1000")
    await driver.exec(handle, running)
    async for chunk in driver.output(handle, running.id):
        assert chunk.data == b"two\n"
        break
    waiting = asyncio.create_task(driver.wait(handle, running.id))
    client = KeeperClient(keeper.socket)
    await client.kill(handle.id)
    await client.close()

    async with asyncio.timeout(20):
        assert (await waiting).reason is ExitReason.LOST
        assert (await driver.wait(handle, CommandId("done"))).code == 4
        assert [c.data async for c in driver.output(handle, CommandId("done"))] == [b"one\n"]
        assert [c.data async for c in driver.output(handle, running.id)] == [b"two\n"]
    assert (await driver.inspect(handle)).alive is False
    with pytest.raises(NotFoundError) as caught:
        await driver.exec(handle, command("more", "true"))
    assert caught.value.code == "sandbox_gone"
    await driver.signal(handle, running.id, signal.SIGTERM)


async def test_a_vanished_sandbox(driver, new_spec):
    """What is gone is gone: not alive, commands lost, nothing to destroy."""
    handle = await driver.create(new_spec())
    await driver.destroy(handle)
    await driver.destroy(handle)

    assert (await driver.inspect(handle)).alive is False
    assert (await driver.wait(handle, CommandId("x"))).reason is ExitReason.LOST
    assert [chunk async for chunk in driver.output(handle, CommandId("x"))] == []
    with pytest.raises(NotFoundError):
        await driver.exec(handle, command("x", "true"))


async def test_another_server_finds_everything_again(driver, new_spec, keeper):
    """A new driver on a new keeper lists the sandbox, follows its command from an offset, and hears its end."""
    handle = await driver.create(new_spec())
    await driver.exec(handle, command("go", "echo one; read line < /home/agent/pipe; echo two", cwd="/home/agent"))
    first = [chunk async for chunk in _first(driver.output(handle, CommandId("go")))]
    keeper.kill()
    keeper.restart()
    other = OciDriver(KeeperClient(keeper.socket))

    assert await other.recover() == [handle]
    await run(other, handle, command("pipe", "rm -f pipe; echo > pipe", cwd="/home/agent"))
    rest = [c.data async for c in other.output(handle, CommandId("go"), first[-1].next_offset)]
    assert b"two\n" in rest or (await other.wait(handle, CommandId("go"))).code is not None
    await other.close()


async def _first(chunks):
    async for chunk in chunks:
        yield chunk
        break
    await chunks.aclose()


async def test_what_one_sandbox_made_another_stands_on(driver, new_spec):
    """Sealed folders are seen by later sandboxes; a writable one can be changed there, in a copy of its own."""
    maker = await driver.create(new_spec())
    script = "echo hello > /app/file; mkdir -m 700 /app/sub; echo x > /app/sub/y; echo tool > /opt/env/tool; sleep 99 &"
    await run(driver, maker, command("make", script))
    closed, opened = LayerId("c" * 64), LayerId("d" * 64)
    assert await driver.seal(maker, ("/opt/env",), closed, writable=False) == len("tool\n")
    assert await driver.seal(maker, ("/app",), opened, writable=True) == len("hello\nx\n")
    await driver.destroy(maker)
    assert await driver.layers() == [closed, opened]

    for _ in range(2):
        user = await driver.create(new_spec(layers=(closed, opened)))
        script = (
            "cat /app/file /app/sub/y /opt/env/tool; echo changed >> /app/file && echo more > /app/sub/z && mv /app/sub"
            " /app/moved && echo ok; echo x >> /opt/env/tool || echo denied"
        )
        _, text = await run(driver, user, command("use", script))
        assert text.startswith("hello\nx\ntool\nok\n")
        assert "denied" in text.removeprefix("hello\nx\ntool\nok\n")
    with pytest.raises(ConflictError):
        await driver.drop_layer(closed)
    for handle in await driver.recover():
        await driver.destroy(handle)
    for layer in (closed, opened):
        await driver.drop_layer(layer)


async def test_a_door(driver, new_spec):
    """The server listens inside, on a port that the agent cannot take; the agent reaches it."""
    handle = await driver.create(new_spec(doors=(80,)))
    listener = await driver.listen(handle, 80)
    server = await asyncio.start_server(_greet, sock=listener)
    async with server:
        script = "import socket; print(socket.create_connection(('127.0.0.1', 80)).recv(100).decode())"
        exit_, text = await run(driver, handle, python("call", script))
        assert (exit_.code, text) == (0, "welcome\n")
    with pytest.raises(InvalidError):
        await driver.listen(handle, 443)
    with pytest.raises((ConnectionRefusedError, TimeoutError, OSError)):
        socket.create_connection(("127.0.0.1", 80), 0.2).close()


async def _greet(_, writer):
    writer.write(b"welcome")
    writer.close()
    await writer.wait_closed()


async def test_files_go_in_and_out(driver, new_spec):
    """Written and read as the agent; links lead nowhere that the agent could not go."""
    handle = await driver.create(new_spec())
    await driver.put(handle, "/run/secrets/token", b"secret", mode=0o400)
    await run(driver, handle, command("link", "ln -s /opt/skep/spool/link.out /home/agent/link"))

    assert b"".join([part async for part in driver.get(handle, "/run/secrets/token", limit=100)]) == b"secret"
    assert [(entry.path, entry.size) for entry in await driver.list(handle, "/run/secrets")] == [("token", 6)]
    with pytest.raises(Exception) as caught:
        [part async for part in driver.get(handle, "/home/agent/link", limit=100)]
    assert not isinstance(caught.value, UnavailableError)


async def test_a_stronger_isolation_is_never_replaced(driver, new_spec):
    """What this machine cannot do is refused, and nothing is made."""
    with pytest.raises(InvalidError) as caught:
        await driver.create(new_spec(isolation=Isolation.GVISOR))

    assert caught.value.code == "isolation_unavailable"
    assert await driver.recover() == []
