"""What went wrong, in the user's terms; and how builds go from state to state."""

from dataclasses import replace

import pytest

from skep.kernel.errors import ConflictError
from skep.kernel.settings import Settings
from skep.product.blobs.model import LogId
from skep.product.gateway.model import Policy
from skep.product.gateway.policy import decide, decide_address
from skep.product.images import failures, machine
from skep.product.images.model import Build, BuildId, BuildStatus, Failure, FilesSource, GitSource
from skep.product.images.options import build_options
from skep.product.sandboxes.model import Exit, ExitReason, Inspection, Limits, SandboxId

SOURCE = GitSource(url="https://git.example/a", ref="main")
BUILD = Build(
    id=BuildId("bld_1"),
    project_id="p",
    agent_id="a",
    source=FilesSource(files={}),
    status=BuildStatus.QUEUED,
    log_id=LogId("log_1"),
    created_ms=1,
)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("fatal: couldn't find remote ref main", "ref_not_found"),
        ("fatal: remote error: upload-pack: not our ref ffff", "ref_not_found"),
        ("error: Server does not allow request for unadvertised object ffff", "ref_not_found"),
        ("fatal: could not read Username for 'https://x': terminal prompts disabled", "repository_unreachable"),
        (
            "git@x: Permission denied (publickey).\nfatal: Could not read from remote repository.",
            "repository_unreachable",
        ),
        ("fatal: unable to access 'https://x/': CONNECT tunnel failed, response 403", "repository_unreachable"),
        ("", "repository_unreachable"),
    ],
)
def test_gits_words(words: str, code: str) -> None:
    """Each kind of failure has its code, a sentence and a hint."""
    failure = failures.of_fetch(words, SOURCE)
    assert failure.code == code
    assert failure.message
    assert failure.hint


def test_the_last_words_are_quoted_without_escapes() -> None:
    """A terminal's escape sequences do not come through, and no quotation is endless."""
    failure = failures.of_fetch("remote: \x1b[31mred\x1b[0m\x07\nfatal: it \x1b]0;x\x07broke\r\n", SOURCE)
    assert "\x1b" not in failure.message
    assert "\x07" not in failure.message
    assert "broke" in failure.message
    assert len(failures.quote("x" * 100_000)) < 5000


def test_a_folder_that_is_not_there_and_one_that_is_empty() -> None:
    """Only who named a path is told to check it."""
    named, root = failures.no_path("bees"), failures.no_path("")
    assert (named.code, root.code) == ("path_not_found", "path_not_found")
    assert "`path`" in named.hint
    assert "empty" in root.message
    assert "path" not in root.hint


def test_uvs_words() -> None:
    """The resolver's explanation is kept whole; else what the door refused is the hint."""
    words = "Using CPython\n  \u00d7 No solution found when resolving dependencies:\n  ╰─▶ Because a==9 is missing.\n"
    failure = failures.of_install(words)
    assert failure.code == "dependencies_unresolvable"
    assert failure.message.endswith("Because a==9 is missing.")
    assert failures.of_install("error: x", "Not to evil:443.").hint == "Not to evil:443."
    assert failures.of_fetch("fatal: x", SOURCE, "Not to evil:443.").hint == "Not to evil:443."


def test_what_stopped_a_command_from_outside() -> None:
    """Time, memory, disk and processes come, in this order, before whatever the program itself said."""
    limits = Limits(cpus=1, memory_bytes=1 << 20, disk_bytes=2 << 20, pids=3, output_bytes=1)

    def told(exit_: Exit, words: str = "", **seen: int) -> str | None:
        failure = failures.of_exit(exit_, words, seen=Inspection(alive=True, **seen), limits=limits, limit_s=3)
        return failure and failure.code

    failed = Exit(reason=ExitReason.EXITED, code=1)
    assert told(failed) is None
    assert told(failed, pids_reached=True) == "out_of_processes"
    assert told(failed, "No solution found when", pids_reached=True) is None
    assert told(failed, "OSError: No space left on device", pids_reached=True) == "out_of_disk"
    assert told(failed, disk_left_bytes=0, pids_reached=True) == "out_of_disk"
    assert told(failed, oom_kills=1, disk_left_bytes=0) == "out_of_memory"
    assert told(replace(failed, reason=ExitReason.TIMED_OUT), oom_kills=1) == "build_timed_out"
    assert told(replace(failed, reason=ExitReason.OUT_OF_MEMORY)) == "out_of_memory"


def test_the_table_is_total_and_ends_stay_ends() -> None:
    """Every state has its row; nothing follows an end; an attempt counts."""
    assert set(machine.NEXT) == set(BuildStatus)
    intended = machine.begin_attempt(BUILD, now_ms=5, node_id="n", sandbox_id=SandboxId("sbx"), log_id=LogId("log_1"))
    assert (intended.status, intended.attempt, intended.started_ms) == (BuildStatus.RUNNING, 1, 5)
    again = machine.begin_attempt(intended, now_ms=9, node_id="n", sandbox_id=SandboxId("sbx2"), log_id=LogId("log_1"))
    assert (again.attempt, again.started_ms) == (2, 5)
    failed = machine.fail(again, Failure(code="x", message="y"), now_ms=10)
    cancelled = machine.cancel(BUILD, now_ms=10)
    assert machine.is_over(failed)
    assert machine.is_over(cancelled)
    for over in (failed, cancelled):
        with pytest.raises(ConflictError):
            machine.cancel(over, now_ms=11)
        with pytest.raises(ConflictError):
            machine.begin_attempt(over, now_ms=1, node_id="n", sandbox_id=SandboxId("s"), log_id=LogId("l"))


def test_the_operators_index() -> None:
    """Each host may be reached on its port only, and the index's password is known as a thing to hide."""
    options = build_options(Settings(index_url="http://me:secret@mirror.lan:3141/simple"), uv_version="1")
    assert [str(host) for host in options.index_hosts[-1:]] == ["mirror.lan:3141"]
    assert set(options.hidden) == {"me:secret", "secret", "bWU6c2VjcmV0"}
    assert build_options(Settings(index_url="https://mirror.lan/simple"), uv_version="1").hidden == ()


@pytest.mark.parametrize(
    ("url", "port"), [("https://h.lan/simple", 443), ("http://h.lan/simple", 80), ("https://h.lan:8443/x", 8443)]
)
def test_the_index_is_reached_on_the_port_of_its_url_only(url: str, port: int) -> None:
    """443 for https, 80 for http, or the port that is named; other hosts on 443, or the port that is named."""
    options = build_options(Settings(index_url=url, index_hosts="a.lan,b.lan:81,*.c.lan"), uv_version="1")
    policy = Policy(allow=options.index_hosts, internal=options.index_hosts)
    good = {("h.lan", port), ("a.lan", 443), ("b.lan", 81), ("x.c.lan", 443)}
    asked = {(host, number) for host, _ in good for number in (22, 80, 81, 443, 8443)}
    assert {(host, number) for host, number in asked if decide(policy, host, number).allowed} == good
    assert {(h, number) for h, number in asked if decide_address(policy, h, number, "10.0.0.1").allowed} == good
