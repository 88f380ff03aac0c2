"""uv and npm themselves in front of the door, as a build has them."""

import json
import shutil
import sys

import pytest
from indexes import allowing, indexes, opened

from skep.kernel.indexes import with_own
from skep.product.gateway.mirror.door_paths import upstream
from skep.product.gateway.model import LockedFile
from skep.testing.package_index import serve_index
from skep.testing.packages import npm_package, sdist, wheel


@pytest.fixture
def index():
    """An index with a dependency between its packages, and one that is a source distribution."""
    with serve_index() as served:
        served.python += [wheel("alpha", "1.0", requires=["beta>=2"]), wheel("beta", "1.0"), wheel("beta", "2.1")]
        served.npm += [
            npm_package("left", "1.2.3", requires={"@corp/tool": "^2.0.0"}),
            npm_package("@corp/tool", "2.0.1"),
        ]
        yield served


def installed(folder):
    """List what lies in the environment."""
    return sorted(place.name for place in folder.glob("v/lib/python*/site-packages/*.py") if place.name[0] != "_")


@pytest.mark.parametrize("html", [False, True])
@pytest.mark.parametrize("metadata", [False, True])
async def test_uv_installs_through_the_door(index, tmp_path, html, metadata) -> None:
    """From an index with a password, whatever kind it is; uv never sees the password."""
    index.html, index.metadata = html, metadata
    index.want("me", "pa55word")
    named = with_own(indexes(index), index.simple.replace("://", "://me:pa55word@"), (), None)
    async with opened(tmp_path, named, allowing(index.host)) as door:
        await door.uv(tmp_path, "venv", "--quiet", "--python", sys.executable, "v")
        ran = await door.uv(tmp_path, "pip", "install", "--verbose", "--python", "v/bin/python", "alpha")
    assert ran.code == 0, ran.text
    assert installed(tmp_path) == ["alpha.py", "beta.py"]
    assert "pa55word" not in ran.text
    assert len({path for path in index.requests if path.endswith(".whl")}) == len(
        [path for path in index.requests if path.endswith(".whl")]
    ), "each file is fetched once"


async def test_uv_locks_to_addresses_that_lead_back_to_the_index(index, tmp_path) -> None:
    """What uv writes into a lock names the door; it can be told where that is in the index."""
    (tmp_path / "requirements.in").write_text("alpha\n")
    async with opened(tmp_path, indexes(index), allowing(index.host)) as door:
        ran = await door.uv(
            tmp_path, "pip", "compile", "--quiet", "--format", "pylock.toml", "-o", "pylock.toml", "requirements.in"
        )
    assert ran.code == 0, ran.text
    lock = (tmp_path / "pylock.toml").read_text()
    urls = [part.split('"')[1] for part in lock.split("url = ")[1:]]
    assert {upstream(url) for url in urls} == {
        f"{index.url}/files/alpha-1.0-py3-none-any.whl",
        f"{index.url}/files/beta-2.1-py3-none-any.whl",
    }


async def test_uv_installs_locked_files_and_nothing_else(index, tmp_path) -> None:
    """With hashes, from the flat page; an index is not there."""
    wanted = [package for package in index.python if package.version != "1.0" or package.name == "alpha"]
    (tmp_path / "locked.txt").write_text(
        "".join(f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n" for package in wanted)
    )
    async with opened(tmp_path, indexes(index), allowing(index.host)) as door:
        door.hold_locked(
            [LockedFile(filename=p.filename, url=f"{index.url}/files/{p.filename}", sha256=p.sha256) for p in wanted]
        )
        await door.uv(tmp_path, "venv", "--quiet", "--python", sys.executable, "v")
        ran = await door.uv(
            tmp_path,
            *("pip", "install", "--python", "v/bin/python", "--no-deps", "--require-hashes", "--only-binary", ":all:"),
            *("--no-index", "--find-links", f"{door.url}/locked/", "-r", "locked.txt"),
        )
    assert ran.code == 0, ran.text
    assert installed(tmp_path) == ["alpha.py", "beta.py"]
    assert not any(path.startswith("/simple/") for path in index.requests)


async def test_uv_says_that_the_index_is_down(index, tmp_path) -> None:
    """Which one, and how often it was tried: uv prints the door's words."""
    index.failing["/simple/alpha/"] = 1000
    async with opened(tmp_path, indexes(index), allowing(index.host)) as door:
        await door.uv(tmp_path, "venv", "--quiet", "--python", sys.executable, "v")
        ran = await door.uv(tmp_path, "pip", "install", "--python", "v/bin/python", "alpha")
        assert any(f"{index.host} was tried 4 times" in record.reason for record in door.records)
    assert ran.code != 0
    assert f"{index.host} was tried 4 times in vain" in ran.text


async def test_uv_says_that_the_index_refused_access(index, tmp_path) -> None:
    """Which one, in the door's words, not as if the user had given a wrong password."""
    index.want("me", "pa55word")
    async with opened(tmp_path, indexes(index), allowing(index.host)) as door:
        await door.uv(tmp_path, "venv", "--quiet", "--python", sys.executable, "v")
        ran = await door.uv(tmp_path, "pip", "install", "--python", "v/bin/python", "alpha")
    assert ran.code != 0
    assert f"the index {index.host} refused access (401)" in ran.text
    assert index.requests == ["/simple/alpha/"]


async def test_uv_does_not_install_a_tampered_file(index, tmp_path) -> None:
    """The door cuts it off; nothing of it is installed."""
    path = "/files/beta-2.1-py3-none-any.whl"
    index.tampered[path] = wheel("beta", "2.1", {"beta.py": "EVIL = 1\n"}).data
    async with opened(tmp_path, indexes(index), allowing(index.host)) as door:
        await door.uv(tmp_path, "venv", "--quiet", "--python", sys.executable, "v")
        ran = await door.uv(tmp_path, "pip", "install", "--python", "v/bin/python", "beta")
        assert any("gave another file" in record.reason for record in door.records)
    assert ran.code != 0
    assert installed(tmp_path) == []


async def test_uv_fetches_a_source_distribution(index, tmp_path) -> None:
    """It comes as it is, whatever its name says of its coding."""
    files = {
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "b"\nbackend-path = ["."]\n',
        "b.py": (
            "import os, zipfile\n"
            "def build_wheel(folder, settings=None, metadata=None):\n"
            "    name = 'gamma-1.0-py3-none-any.whl'\n"
            "    with zipfile.ZipFile(os.path.join(folder, name), 'w') as z:\n"
            "        z.writestr('gamma.py', 'X = 1')\n"
            "        info = 'gamma-1.0.dist-info/'\n"
            "        z.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: gamma\\nVersion: 1.0\\n')\n"
            "        z.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n"
            "        z.writestr('gamma-1.0.dist-info/RECORD', '')\n"
            "    return name\n"
        ),
    }
    index.python.append(sdist("gamma", "1.0", files))
    async with opened(tmp_path, indexes(index), allowing(index.host)) as door:
        await door.uv(tmp_path, "venv", "--quiet", "--python", sys.executable, "v")
        ran = await door.uv(tmp_path, "pip", "install", "--python", "v/bin/python", "gamma")
    assert ran.code == 0, ran.text
    assert installed(tmp_path) == ["gamma.py"]


async def test_npm_installs_through_the_door(index, tmp_path) -> None:
    """Scoped packages, too; the second installation comes from what is kept; a lock is followed."""
    index.want("me", "pa55word")
    named = with_own(indexes(index), None, (), f"{index.url}/npm".replace("://", "://me:pa55word@"))
    manifest = {"name": "x", "version": "1.0.0", "dependencies": {"left": "1"}}
    (tmp_path / "package.json").write_text(json.dumps(manifest))
    async with opened(tmp_path, named, allowing(index.host)) as door:
        ran = await door.npm(tmp_path, "install")
        assert ran.code == 0, ran.text
        assert (tmp_path / "node_modules/@corp/tool/index.js").read_text() == 'module.exports = "2.0.1"\n'
        lock = (tmp_path / "package-lock.json").read_text()
        for folder in ("node_modules", "npm-cache"):
            shutil.rmtree(tmp_path / folder)
        asked = len([path for path in index.requests if path.endswith(".tgz")])
        ran = await door.npm(tmp_path, "ci")
        assert ran.code == 0, ran.text
    assert "pa55word" not in lock
    assert asked == len([path for path in index.requests if path.endswith(".tgz")]) == 2


@pytest.mark.parametrize("registry", ["https://registry.npmjs.org", None])
async def test_npm_follows_a_lock_of_another_registry(index, tmp_path, registry) -> None:
    """Npm puts the door in the place of the registry's host; the path that follows is found all the same."""
    base = registry or f"{index.url}/npm"
    tool = index.npm[1]
    entry = {"version": "2.0.1", "resolved": f"{base}/@corp/tool/-/tool-2.0.1.tgz", "integrity": tool.integrity}
    manifest = {"name": "x", "version": "1.0.0", "dependencies": {"@corp/tool": "2.0.1"}}
    packages = {"": manifest, "node_modules/@corp/tool": entry}
    (tmp_path / "package.json").write_text(json.dumps(manifest))
    (tmp_path / "package-lock.json").write_text(
        json.dumps({"name": "x", "version": "1.0.0", "lockfileVersion": 3, "packages": packages})
    )
    async with opened(tmp_path, indexes(index), allowing(index.host)) as door:
        ran = await door.npm(tmp_path, "ci", "--replace-registry-host=always")
        assert ran.code == 0, ran.text
        assert all(record.host in ("", "127.0.0.1") for record in door.records)
        for folder in ("node_modules", "npm-cache"):
            shutil.rmtree(tmp_path / folder)
        ran = await door.npm(tmp_path, "ci", "--replace-registry-host=always")
        assert ran.code == 0, ran.text
        assert index.requests == ["/npm/@corp/tool/-/tool-2.0.1.tgz"]


async def test_npm_says_that_the_registry_is_down(index, tmp_path) -> None:
    """Which one, and how often it was tried."""
    index.failing["/npm/left"] = 1000
    (tmp_path / "package.json").write_text('{"name": "x", "version": "1.0.0", "dependencies": {"left": "1"}}')
    async with opened(tmp_path, indexes(index), allowing(index.host)) as door:
        ran = await door.npm(tmp_path, "install")
    assert ran.code != 0
    assert f"{index.host} was tried 4 times in vain" in ran.text
