"""Commands: started once, followed, ended in time, with nothing left of them."""

import asyncio
import signal
import time
from pathlib import Path

import pytest

from skep.kernel.errors import InvalidError, NotFoundError
from skep.product.sandboxes.model import CommandId, CommandUser, ExitReason
from skep.testing.wait import until


def proc(pid, name):
    """Return a file of a process's in /proc; empty if it is gone."""
    try:
        return (Path("/proc") / str(pid) / name).read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def alive(pid):
    """Tell whether a process of the host's exists and is no zombie."""
    stat = proc(pid, "stat")
    return stat != "" and stat.rsplit(") ", 1)[1][0] != "Z"


def children(pid):
    """List the processes below *pid*, at any depth."""
    found = []
    for child in map(int, proc(pid, f"task/{pid}/children").split()):
        found += [child, *children(child)]
    return found


def processes(supervisor):
    """List the living processes of a supervisor's commands."""
    return [pid for pid in children(supervisor.pid) if alive(pid)]


async def test_a_command_has_its_environment_and_nothing_else(run, command):
    """It sees the given variables, its folder, three descriptors and a plain umask; /dev/null is its input."""
    script = "env | sort; umask; ls /proc/self/fd; readlink /proc/self/fd/0; pwd"

    exit_, out, err = await run(command(script, env={"PATH": "/usr/bin:/bin", "A": "ü=\n!"}, cwd="/usr"))

    # The fourth descriptor is the folder that `ls` itself reads.
    assert out.decode() == "!\nA=ü=\nPATH=/usr/bin:/bin\nPWD=/usr\n0022\n0\n1\n2\n3\n/dev/null\n/usr\n"
    assert (err, exit_.code) == (b"", 0)


async def test_it_leads_a_session_with_ordinary_signals(run, command):
    """It is no member of the supervisor's session, and a broken pipe ends a program as usual."""
    exit_, out, _ = await run(command("cut -d' ' -f1,5,6 /proc/$$/stat; yes | head -n 1; kill -PIPE $$"))

    pid, group, session = out.split(b"\n")[0].split()
    assert pid == group == session
    assert out.endswith(b"\ny\n")
    assert (exit_.reason, exit_.signal) == (ExitReason.SIGNALED, signal.SIGPIPE)


@pytest.mark.parametrize(
    ("argv", "cwd", "words"),
    [
        (("/no/such", "x"), "/", "/no/such: No such file or directory"),
        (("nonsense", "x"), "/", "nonsense: No such file or directory"),
        (("/etc/passwd", "x"), "/", "/etc/passwd: Permission denied"),
        (("/bin/true", "x"), "/no/folder", "/no/folder: No such file or directory"),
    ],
)
async def test_what_cannot_be_started_says_why(run, command, argv, cwd, words):
    """A missing program or folder is an ended command with the system's words."""
    exit_, out, _ = await run(command(*argv, cwd=cwd))

    assert (exit_.reason, exit_.code, exit_.message, out) == (ExitReason.NOT_STARTED, None, words, b"")


async def test_a_program_is_looked_for_in_its_own_path(run, command, supervisor):
    """PATH of the given environment counts."""
    supervisor.folder.chmod(0o755)
    tools = supervisor.folder / "tools"
    tools.mkdir()
    (tools / "tool").write_text("#!/bin/sh\necho $1\n")
    (tools / "tool").chmod(0o755)
    tools.chmod(0o755)

    exit_, out, _ = await run(command("tool", "found", env={"PATH": f"/no/such:{tools}"}))

    assert (exit_.code, out) == (0, b"found\n")


async def test_the_same_id_starts_once(client, run, command, supervisor):
    """Also when both ask at once; the second learns of the first."""
    once = command("echo x; read never < /dev/null; echo y")

    await asyncio.gather(client.exec(once), client.exec(once), client.exec(once))
    _, out, _ = await run(once)

    assert out == b"x\ny\n"
    assert sorted(path.name for path in supervisor.spool.iterdir()) == [f"{once.id}.exit", f"{once.id}.out"]


async def test_orphans_are_killed_at_the_end(run, command, supervisor):
    """What a command leaves in its group is killed when it ends, though it holds the output's pipe."""
    started = time.monotonic()

    exit_, out, _ = await run(command("(sleep 1000 & sleep 1000) & echo begun"))

    assert (exit_.reason, exit_.code, out) == (ExitReason.EXITED, 0, b"begun\n")
    assert time.monotonic() - started < 2
    await until(lambda: not processes(supervisor), what="the orphans to be gone")


async def test_orphans_are_reaped(run, command, supervisor):
    """No zombie stays, whoever its parent was."""
    await run(command("for i in 1 2 3 4 5 6 7 8; do (sleep 0 &) ; done"))

    await until(lambda: all(map(alive, children(supervisor.pid))), what="the zombies to go")


async def test_a_late_grandchild_cannot_hold_the_end(client, run, command):
    """A grandchild that writes for ever does not keep the command from being over."""
    exit_, _, _ = await run(command("yes & exit 7"))

    assert (exit_.reason, exit_.code) == (ExitReason.EXITED, 7)
    assert exit_.duration_s < 2


async def test_the_deadline_is_term_and_then_kill(run, command):
    """A command that ends on TERM has that signal; one that does not is killed after its grace."""
    polite, _, _ = await run(command("sleep 1000", timeout_s=0.2, grace_s=5))
    stubborn, _, _ = await run(command("trap '' TERM; sleep 1000", timeout_s=0.2, grace_s=0.3))
    leaving, _, _ = await run(command("trap 'exit 5' TERM; sleep 1000 & wait", timeout_s=0.2, grace_s=5))

    assert (polite.reason, polite.signal) == (ExitReason.TIMED_OUT, signal.SIGTERM)
    assert (stubborn.reason, stubborn.signal) == (ExitReason.TIMED_OUT, signal.SIGKILL)
    assert (leaving.reason, leaving.code) == (ExitReason.TIMED_OUT, 5)
    assert 0.2 <= polite.duration_s < 0.5 <= stubborn.duration_s < 2


async def test_a_signal_reaches_the_whole_command(client, command, supervisor):
    """All of its processes get it; a second signal to what is over is no error; an unknown one is not found."""
    going = command("sleep 1000 | sleep 1000 & echo up; wait")
    await client.exec(going)
    async for chunk in client.output(going.id):
        assert chunk.data == b"up\n"
        break

    await client.signal(going.id, signal.SIGKILL)
    ended = await client.wait(going.id)
    await client.signal(going.id, signal.SIGTERM)

    assert (ended.reason, ended.signal) == (ExitReason.SIGNALED, signal.SIGKILL)
    await until(lambda: not processes(supervisor), what="all processes to be gone")
    with pytest.raises(NotFoundError):
        await client.signal(CommandId("cmd_none"), signal.SIGTERM)


async def test_kill_all_ends_everything(client, command, supervisor):
    """Afterwards no command runs and no process is left."""
    going = [command("trap '' TERM; sleep 1000 & sleep 1000") for _ in range(3)]
    for each in going:
        await client.exec(each)

    await client.kill_all()

    assert {(await client.wait(each.id)).signal for each in going} == {signal.SIGKILL}
    assert processes(supervisor) == []


async def test_hello_tells_the_commands(client, run, command):
    """What runs and what is over are told with their states."""
    over, going = command("exit 3"), command("sleep 1000")
    await run(over)
    await client.exec(going)

    hello = await client.hello()

    assert hello["sandbox"] == "sbx_test"
    states = hello["commands"]
    assert (states[over.id]["running"], states[over.id]["code"]) == (False, 3)
    assert (states[going.id]["running"], states[going.id]["reason"]) == (True, "")


async def test_many_commands_at_once(client, run, command):
    """Twenty at once end each with its own code and output."""
    results = await asyncio.gather(*(run(command(f"echo {number}; exit {number}")) for number in range(20)))

    assert [(exit_.code, out) for exit_, out, _ in results] == [(n, f"{n}\n".encode()) for n in range(20)]


async def test_old_commands_are_found_on_disk(client, run, command):
    """More commands than are remembered: the first one's end and output are still told."""
    first = command("echo first; exit 9")
    await run(first)
    for _ in range(210):
        await client.exec(command("/bin/true", "x"))

    assert first.id not in (await client.hello())["commands"]
    await client.exec(first)
    exit_, out, _ = await run(first)
    assert (exit_.code, out) == (9, b"first\n")


@pytest.mark.parametrize(
    "changes",
    [
        {"id": CommandId("../escape")},
        {"id": CommandId("")},
        {"argv": ()},
        {"argv": ("a\0b",)},
        {"env": {"A=B": "x"}},
        {"env": {"A": "\0"}},
        {"env": {"": "x"}},
        {"cwd": "relative"},
        {"timeout_s": -1.0},
        {"timeout_s": float("inf")},
        {"grace_s": float("nan")},
    ],
)
async def test_a_wrong_command_is_refused(client, changes, run, command):
    """Each wrong field is refused by name, and the connection serves on."""
    fields = {"id": CommandId("cmd_x"), "argv": ("/bin/true",), "cwd": "/"} | changes
    from skep.product.sandboxes.model import Command

    with pytest.raises(InvalidError) as caught:
        await client.exec(Command(**fields))

    assert next(iter(changes)) in caught.value.message
    assert (await run(command("exit 0")))[0].code == 0


@pytest.mark.root
@pytest.mark.parametrize("supervisor", ["two users"], indirect=True)
class TestTwoUsers:
    """What holds because the agent is another user than the supervisor."""

    @pytest.mark.parametrize(("user", "uid"), [(CommandUser.AGENT, 1000), (CommandUser.ROOT, 0)])
    async def test_no_command_has_a_capability(self, run, command, user, uid):
        """Neither the agent nor root inside holds, inherits or can regain any."""
        _, out, _ = await run(command("grep -E '^(Cap|NoNew|Uid|Gid|Groups)' /proc/self/status", user=user))

        status = dict(line.split(":", 1) for line in out.decode().splitlines())
        zeros = {name: int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")}
        assert zeros == dict.fromkeys(zeros, 0)
        assert status["Uid"].split() == status["Gid"].split() == [str(uid)] * 4
        assert status["Groups"].split() == []
        assert status["NoNewPrivs"].strip() == "1"

    async def test_the_supervisor_cannot_be_touched(self, run, command):
        """The agent may not signal, read or adjust process 1, nor see its spool."""
        script = (
            "kill -9 1; kill -STOP 1; cat /proc/1/environ; ls /proc/1/fd; cat /proc/1/mem;"
            " echo 5 > /proc/1/oom_score_adj; echo tried"
        )

        exit_, out, err = await run(command(script))

        assert (exit_.code, out) == (0, b"tried\n")
        assert err.count(b"not permitted") + err.count(b"denied") >= 6

    async def test_who_leaves_the_group_dies_too(self, run, command, supervisor):
        """A process in a session of its own does not outlive the last command."""
        await run(command("setsid sleep 1000 & setsid setsid sleep 1000 & sleep 0.05; exit 0"))

        await until(lambda: not processes(supervisor), what="the escaped to be gone")

    async def test_who_leaves_the_group_dies_at_the_deadline(self, run, command, supervisor):
        """The same when the time is up, though TERM is ignored."""
        script = "trap '' TERM; setsid sleep 1000 & sleep 1000"

        exit_, _, _ = await run(command(script, timeout_s=0.2, grace_s=0.2))

        assert exit_.reason is ExitReason.TIMED_OUT
        await until(lambda: not processes(supervisor), what="the escaped to be gone")

    async def test_an_end_leaves_other_commands_alone(self, client, run, command):
        """While another command of the same user runs, only the ended one's group is killed."""
        going = command("sleep 1000")
        await client.exec(going)

        await run(command("sleep 1000 & exit 0"))

        assert (await client.hello())["commands"][going.id]["running"]
        await client.kill_all()
        assert (await client.wait(going.id)).signal == signal.SIGKILL

    async def test_stopping_everything_does_not_stop_the_supervisor(self, client, run, command):
        """An agent that stops all it may, again and again, is still ended in time, and files still move."""
        hostile = command("while :; do kill -STOP -1; kill -KILL -1; done", timeout_s=1, grace_s=0.2)
        await client.exec(hostile)

        assert await client.put("/tmp/skep-test-file", b"x" * 100_000) == 100_000
        ended = await client.wait(hostile.id)

        assert ended.reason is ExitReason.TIMED_OUT
        assert (await run(command("rm /tmp/skep-test-file; echo fine")))[1] == b"fine\n"

    async def test_the_agent_is_the_first_that_memory_kills(self, run, command, supervisor):
        """Commands carry an out-of-memory score, the supervisor keeps its own."""
        _, out, _ = await run(command("cat /proc/self/oom_score_adj"))

        assert out == b"500\n"
        assert proc(supervisor.pid, "oom_score_adj") == proc("self", "oom_score_adj")

    async def test_process_1_has_given_up_what_it_can(self, client, supervisor):
        """It keeps two capabilities, lets no child inherit them, and hides its own files in /proc."""
        await client.hello()

        status = dict(line.split(":", 1) for line in proc(supervisor.pid, "status").splitlines())
        setgid_setuid = (1 << 6) | (1 << 7)
        assert {name: int(status[name], 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {
            "CapPrm": setgid_setuid,
            "CapEff": setgid_setuid,
            "CapBnd": setgid_setuid,
            "CapAmb": 0,
        }
        assert status["NoNewPrivs"].strip() == "1"
        assert Path(f"/proc/{supervisor.pid}/environ").stat().st_uid == 0

    async def test_a_kill_cannot_be_stopped(self, client, command):
        """The child that kills for the supervisor is out of the agent's reach, however often it tries."""
        victims = [command("sleep 1000") for _ in range(30)]
        for victim in victims:
            await client.exec(victim)
        attacker = command("/usr/bin/python3", "-c", "import os\nprint(flush=True)\nwhile True: os.kill(-1, 19)")
        await client.exec(attacker)
        await anext(client.output(attacker.id))

        for victim in victims:
            await client.signal(victim.id, signal.SIGKILL)

        assert {(await client.wait(victim.id)).signal for victim in victims} == {signal.SIGKILL}
        await client.kill_all()
