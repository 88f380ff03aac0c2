"""Runtimes in real sandboxes: Node from the package index, and a copy of Python from a server of the operator's."""

import contextlib
import functools
import http.server
import json
import platform
import threading

import pytest
from python_copy import other_python, pack

from skep.library import runtimes
from skep.product.images.model import FilesSource, Install
from skep.product.runs.plan import base_env
from skep.product.sandboxes.model import Command, CommandId, Isolation, SandboxId, SandboxSpec

pytestmark = pytest.mark.root


@contextlib.contextmanager
def serving(folder):
    """Serve a folder over HTTP; give host:port."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


async def run_image(rig, image) -> tuple[int | None, str]:
    """Run the image's command as an agent is run."""
    spec = SandboxSpec(
        id=SandboxId(rig.ids.new("sbx", 1)), project_id="prj_1", isolation=Isolation.CONTAINER,
        limits=rig.options.limits, layers=image.layers,
    )  # fmt: skip
    handle = await rig.driver.create(spec)
    try:
        command = Command(
            id=CommandId("cmd"), argv=image.recognised.command, timeout_s=30, env=base_env(image.recognised)
        )
        await rig.driver.exec(handle, command)
        said = b"".join([chunk.data async for chunk in rig.driver.output(handle, command.id)])
        return (await rig.driver.wait(handle, command.id)).code, said.decode()
    finally:
        await rig.driver.destroy(handle)


async def test_node_with_packages_of_npm(make_rig, driver) -> None:
    """Node and npm are a layer from a wheel known by its hash; packages come through the door's registry."""
    rig = make_rig(driver, build_timeout_s=300)
    manifest = {"name": "x", "dependencies": {"is-odd": "3.0.1"}, "scripts": {"start": "node main.js"}}
    packages = {
        "": manifest,
        "node_modules/is-odd": {"version": "3.0.1", "dependencies": {"is-number": "^6.0.0"}},
        "node_modules/is-number": {"version": "6.0.0"},
    }
    files = {
        "package.json": json.dumps(manifest),
        "package-lock.json": json.dumps({"name": "x", "lockfileVersion": 3, "packages": packages}),
        "main.js": "console.log(process.version, require('is-odd')(3))\n",
    }
    async with rig.life():
        build = await rig.built(FilesSource(files=files))
        assert build.failure is None, await rig.log_of(build)
        assert build.recognised.install is Install.NPM_LOCK
        image = await rig.image_of(build)
        code, said = await run_image(rig, image)
        assert (code, said) == (0, f"v{runtimes.load().nodes()[0].version} true\n"), said
        # Changed code alone installs nothing again.
        again = await rig.built(FilesSource(files={**files, "main.js": "console.log(require('is-odd')(2))\n"}))
        other = await rig.image_of(again)
        assert (other.layers[0], other.layers[2]) == (image.layers[0], image.layers[2])
        assert await run_image(rig, other) == (0, "false\n")


async def test_what_runs_code_lies_over_the_wheels(make_rig, driver) -> None:
    """A source distribution and a folder of the source are the project's; wheels below are there for all, compiled."""
    rig = make_rig(driver, build_timeout_s=300)
    member = '[project]\nname="member"\nversion="1"\ndependencies=["six"]\n'
    main = "import docopt, humanize, member, os, six; print(member.NAME, os.path.exists(humanize.__cached__))\n"
    files = {
        "requirements.txt": "humanize==4.9.0\ndocopt==0.6.2\n./libs/member\n",
        "main.py": main,
        "libs/member/pyproject.toml": member,
        "libs/member/member/__init__.py": "NAME = 'mine'\n",
    }
    async with rig.life():
        build = await rig.built(FilesSource(files=files))
        assert build.failure is None, await rig.log_of(build)
        assert (build.explanation.shared, build.explanation.private) == (2, ("docopt", "member"))
        assert await run_image(rig, await rig.image_of(build)) == (0, "mine True\n")


async def test_a_copy_of_python(make_rig, driver, tmp_path) -> None:
    """A project that the machine's Python is none for gets one from where the operator says, and its wheels with it."""
    folder = other_python(than="3.11")
    if folder is None:
        pytest.skip("no other Python here that a copy could be made of")
    copy = pack(folder)
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "python.tar.gz").write_bytes(copy.archive)
    listed = tmp_path / "downloads.json"
    with serving(tmp_path / "www") as host:
        listed.write_text(copy.listed(f"http://{host}/python.tar.gz"))
        rig = make_rig(
            driver,
            build_timeout_s=300,
            python_downloads=str(listed),
            index_hosts=("pypi.org", "files.pythonhosted.org", host),
            egress_allow_private=(host,),
        )
        rig.runtimes = runtimes.load(runtimes.Source(downloads=str(listed)))
        assert [one.version for one in rig.runtimes.pythons()] == [copy.version]
        pyproject = (
            f'[project]\nname="x"\nversion="1"\nrequires-python="=={copy.version}"\ndependencies=["markupsafe"]\n'
        )
        main = "import sys, platform, markupsafe._speedups; print(platform.python_version(), sys.prefix)\n"
        async with rig.life():
            build = await rig.built(FilesSource(files={"pyproject.toml": pyproject, "main.py": main}))
            assert build.failure is None, await rig.log_of(build)
            assert build.explanation.runtimes == (f"Python {copy.version} (uv's copy)",)
            image = await rig.image_of(build)
            assert await run_image(rig, image) == (0, f"{copy.version} /opt/env\n")
            assert platform.machine() in rig.runtimes.pythons()[0].folder


async def test_a_copy_of_python_that_is_not_there(make_rig, driver, tmp_path) -> None:
    """The build says what could not be had, and what the operator can set."""
    listed = tmp_path / "downloads.json"
    (tmp_path / "www").mkdir()
    with serving(tmp_path / "www") as host:
        text = (
            '{"cpython-3.99.1-linux-x86_64-gnu": {"name": "cpython", "arch": {"family": "MACHINE", "variant": null}, '
        )
        text += '"os": "linux", "libc": "gnu", "major": 3, "minor": 99, "patch": 1, "prerelease": "", "url": "URL", '
        text += '"sha256": "' + "0" * 64 + '", "variant": null, "build": null}}'
        listed.write_text(text.replace("MACHINE", platform.machine()).replace("URL", f"http://{host}/none.tar.gz"))
        rig = make_rig(driver, python_downloads=str(listed), index_hosts=(host,), egress_allow_private=(host,))
        rig.runtimes = runtimes.load(runtimes.Source(downloads=str(listed)))
        pyproject = '[project]\nname="x"\nversion="1"\nrequires-python=">=3.99"\n'
        async with rig.life():
            build = await rig.built(FilesSource(files={"pyproject.toml": pyproject, "main.py": ""}))
            assert build.failure is not None
            assert build.failure.code == "python_unavailable"
            assert "cpython-3.99.1" in build.failure.message
            assert "SKEP_PYTHON_MIRROR" in build.failure.hint
