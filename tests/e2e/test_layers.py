"""What is equal is on disk once, what nobody needs any more is freed, exactly; wrong dependencies are told in words.

The packages come from an index of the test's own, so that their sizes, and all that can be wrong with them, are known.
"""

import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest
from layer_trees import content_bytes, disk_bytes, trees
from package_files import npm_integrity, npm_package, sdist, wheel
from package_index import serve_packages
from user import User

from skep.kernel.settings import Settings
from skep.testing import packages
from skep.testing.installation import installation
from skep.testing.package_index import serve_index
from skep.testing.wait import until_sync

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]

MIB = 1 << 20
#: Its data cannot be guessed, and is no program that would be compiled.
BIG = wheel("big", "1.0", {"big/__init__.py": "SIZE = 4\n", "big/data.txt": "0123456789abcdef" * (4 * MIB // 16)})
SMALL = wheel("small", "1.0", {"small.py": "ANSWER = 42\n"})
NEAR = npm_package("near", "1.0.0", {"index.js": "module.exports = 'near'\n"}, main="index.js")
PROJECT = """
[project]
name = "app"
version = "1"
requires-python = ">=3.11"
dependencies = ["big"]
"""
MAIN = "import big\nprint(big.SIZE)\n"


@pytest.fixture(scope="module")
def index():
    """The operator's index."""
    with serve_packages() as served:
        served.add(BIG, SMALL, NEAR)
        yield served


@pytest.fixture(scope="module")
def elsewhere():
    """A place that is no index, and which the operator allows."""
    with serve_index(address="127.0.0.2") as served:
        yield served


@pytest.fixture(scope="module")
def skep(index, elsewhere, tmp_path_factory):
    """An installation that knows no other index."""
    npmrc = tmp_path_factory.mktemp("operator") / "npmrc"
    npmrc.write_text(index.npmrc)
    npmrc.chmod(0o644)
    with installation(
        SKEP_INDEX_URL=index.url,
        SKEP_INDEX_HOSTS=",".join((*Settings().index_hosts, elsewhere.host)),
        SKEP_EGRESS_ALLOW_PRIVATE=f"{index.host},{elsewhere.host}",
        NPM_CONFIG_USERCONFIG=str(npmrc),
    ) as made:
        yield made


@pytest.fixture(scope="module")
def layers(skep):
    """Where layers lie."""
    return skep.settings.keeper_dir / "layers"


@pytest.fixture(scope="module")
def owners(skep):
    """Two who share nothing but the machine."""
    admin = User(url=skep.url, token=skep.token)
    found = []
    for name in ("first", "second"):
        project = admin.post("/projects", {"name": name})["id"]
        token = admin.post("/tokens", {"name": name, "scopes": ["admin"]}, X_Skep_Project=project)["token"]
        found.append(replace(admin, token=token))
    return found


def uv_lock(index, *files, sha256=None, wants=("big",)):
    """Return a uv.lock of a project that depends on *files*; one hash for all may be given."""
    packages = "".join(
        f'[[package]]\nname = "{file.project}"\nversion = "1.0"\nsource = {{ registry = "{index.plain_url}" }}\n'
        f'wheels = [{{ url = "{index.file_url(file)}", hash = "sha256:{sha256 or file.sha256}" }}]\n\n'
        for file in files
    )
    names = ", ".join(f'{{ name = "{name}" }}' for name in wants)
    return (
        f'version = 1\nrevision = 3\nrequires-python = ">=3.11"\n\n[[package]]\nname = "app"\nversion = "1"\n'
        f'source = {{ virtual = "." }}\ndependencies = [{names}]\n\n[package.metadata]\nrequires-dist = [{names}]\n\n'
        f"{packages}"
    )


def locked(index, **more):
    """Return a source that has a lock."""
    return {"main.py": MAIN, "pyproject.toml": PROJECT, "uv.lock": uv_lock(index, BIG), **more}


def built(user, name, files):
    """Build an agent of *files*, which must work."""
    build = user.build(name, {"files": files})
    assert build["status"] == "succeeded", build["error"]
    return build


def test_equal_locks_share_one_layer(owners, layers, index):
    """Two projects with the same lock: one folder of dependencies on disk, which only grows by the second's source."""
    first, second = owners
    before = set(trees(layers.parent))
    built(first, "sharing", locked(index))
    once, used = set(trees(layers.parent)) - before, disk_bytes(layers)

    built(second, "sharing", locked(index, **{"notes.txt": "another source"}))

    twice, grown = set(trees(layers.parent)) - before - once, disk_bytes(layers) - used
    assert (len(once), len(twice)) == (2, 1)
    assert sum(disk_bytes(layers / layer) for layer in once) > 4 * MIB
    assert grown < 64 * 1024
    for user in owners:
        assert user.run("sharing")["output"]["stdout"] == "4\n"


def test_the_way_to_equal_wheels_does_not_matter(owners, layers, index):
    """A lock, requirements, pyproject.toml alone: where the same wheels come of it, the same layer is used."""
    built(owners[0], "by-lock", locked(index))
    before = set(trees(layers.parent))

    built(owners[0], "by-requirements", {"main.py": MAIN, "requirements.txt": "big==1.0\n"})
    built(owners[1], "by-project", {"main.py": MAIN, "pyproject.toml": PROJECT})

    new = [trees(layers.parent)[layer] for layer in set(trees(layers.parent)) - before]
    assert [tree for tree in new if "opt/env" in tree] == []


def test_what_a_run_changes_stays_its_own(owners, layers, index):
    """An agent may change its environment; the layer, and the next run, know nothing of it."""
    spoil = "import big\nprint(big.SIZE)\nopen(big.__file__, 'w').write('SIZE = 0')\n"
    built(owners[0], "spoiling", locked(index, **{"main.py": spoil}))
    before = trees(layers.parent)

    assert [owners[0].run("spoiling")["output"]["stdout"] for _ in range(2)] == ["4\n", "4\n"]

    assert trees(layers.parent) == before


def test_pruning_frees_exactly_what_nothing_uses(owners, skep, layers, index):
    """What it says it freed is what is gone from the disk; all that an agent names is there to the byte, and runs."""
    first, second = owners
    built(first, "staying", locked(index))
    built(first, "going", {"main.py": "import small\nprint(small.ANSWER)\n", "requirements.txt": "small==1.0\n"})
    built(second, "going", {"main.py": "import small\nprint(-small.ANSWER)\n", "requirements.txt": "small==1.0\n"})
    prune(skep)
    before, used = trees(layers.parent), disk_bytes(layers)
    for user in owners:
        assert user.ask("DELETE", "/agents/going").status in (200, 202, 204)

    wished, there = prune(skep, "--dry-run"), set(trees(layers.parent))
    sizes = {layer: content_bytes(layers / layer) for layer in there}
    said = prune(skep)

    after = trees(layers.parent)
    gone = set(before) - set(after)
    assert there == set(before)
    assert {layer: after[layer] for layer in after} == {layer: before[layer] for layer in after}
    # Two sources and the one environment that both stood on.
    assert len(gone) == 3
    for told in (wished, said):
        assert {layer["id"]: layer["size_bytes"] for layer in told["layers"]} == {layer: sizes[layer] for layer in gone}
        assert told["freed_bytes"] == sum(sizes[layer] for layer in gone)
    assert used - disk_bytes(layers) >= said["freed_bytes"] > 0
    assert first.run("staying")["output"]["stdout"] == "4\n"
    assert prune(skep)["layers"] == []


def test_what_a_removed_agent_had_is_made_again(owners, skep, layers, index):
    """Dependencies that were pruned come back with the next build that wants them, and are the same to the byte."""
    source = {"main.py": "import small\nprint(small.ANSWER)\n", "requirements.txt": "small==1.0\n"}
    before = trees(layers.parent)
    built(owners[0], "again", source)
    first = trees(layers.parent)
    owners[0].ask("DELETE", "/agents/again")
    prune(skep)
    assert set(trees(layers.parent)) == set(before)

    built(owners[0], "anew", source)

    assert trees(layers.parent) == first


def test_newer_packages_come_when_they_are_asked_for(owners, skep, index):
    """Without a lock what was found out stays, until an upgrade is asked for; what that took stays then."""
    user = owners[0]
    index.add(wheel("moving", "1.0", {"moving.py": "VERSION = 1\n"}))
    index.add(npm_package("moving-npm", "1.0.0", {"index.js": "module.exports = 1\n"}, main="index.js"))
    built(user, "moving", {"main.py": "import moving\nprint(moving.VERSION)\n", "requirements.txt": "moving\n"})
    node = npm_source(manifest={"dependencies": {"moving-npm": ">=1"}})
    built(user, "moving-npm", {**node, "main.js": "console.log(require('moving-npm'))\n"})
    index.add(wheel("moving", "2.0", {"moving.py": "VERSION = 2\n"}))
    index.add(npm_package("moving-npm", "2.0.0", {"index.js": "module.exports = 2\n"}, main="index.js"))

    for name in ("moving", "moving-npm"):
        seen = []
        for options in ((), ("--upgrade",), ()):
            told = skep.cli("--project", "first", "build", name, "--json", *options)
            ended = json.loads(told.stdout)["build"]
            assert (ended["status"], ended["upgrade"]) == ("succeeded", bool(options))
            seen.append(user.run(name)["output"]["stdout"])
        assert seen == ["1\n", "2\n", "2\n"]


def test_an_upgrade_does_not_change_a_lock(owners, index):
    """What the source's own lock names is installed; the build's log says how to change it."""
    user = owners[0]
    built(user, "held-still", locked(index))

    build = user.built(user.post("/agents/held-still/build", {"upgrade": True})["id"])

    assert build["status"] == "succeeded"
    assert "`uv lock --upgrade` takes newer ones into it" in user.ask("GET", f"/builds/{build['id']}/log").raw.decode()


def test_a_machine_with_another_base_builds_its_agents_again(owners, skep):
    """Rows as they are after an upgrade of the machine: what ran says why it cannot, and soon runs again."""
    user = owners[0]
    built(user, "settled", {"main.py": "print('here')\n"})
    before = user.get("/agents/settled")["version"]
    with closing(sqlite3.connect(skep.settings.data_dir / "state" / "skep.db", timeout=30)) as db, db:
        db.execute(
            "update images set base_fingerprint = 'host;cpython-39;glibc-2.31;x86_64' where id in "
            "(select versions.image_id from versions join agents on agents.version_id = versions.id "
            "where agents.name = 'settled')"
        )
    assert user.run("settled")["error"]["code"] == "base_changed"

    skep.kill("server")
    until_sync(lambda: skep.ready() and user.get("/agents/settled")["version"] != before, 60, what="another version")

    assert user.run("settled")["output"]["stdout"] == "here\n"


def prune(skep, *options):
    """Remove all that nothing needs any more, at once; return what was said of it."""
    return json.loads(skep.cli("images", "prune", "--json", *options).stdout)


# ---- wrong dependencies


def failed(user, name, files, **config):
    """Return the error of a build that must fail."""
    build = user.build(name, {"files": files}, **config)
    assert build["status"] == "failed", build
    return build["error"]


def test_a_lock_that_does_not_match_is_refused(owners, index):
    """A dependency that the lock knows nothing of: it is named, and what to type."""
    project = PROJECT.replace('["big"]', '["big", "small"]')

    error = failed(owners[0], "unlocked", locked(index, **{"pyproject.toml": project}))

    assert error["code"] == "lock_mismatch"
    assert "small" in error["message"]
    assert "uv lock" in error["hint"]


def test_a_lock_that_is_no_lock_is_refused(owners, index):
    """A file that cannot be read as a lock fails with its name."""
    error = failed(owners[0], "no-lock", locked(index, **{"uv.lock": "version = 'one'\n[[["}))

    assert "uv.lock" in error["message"]


def test_a_wheel_with_another_hash_is_refused(owners, index):
    """A file that is not what the lock says is not installed; the error names it."""
    source = locked(index, **{"uv.lock": uv_lock(index, BIG, sha256="0" * 64)})

    error = failed(owners[0], "swapped", source)

    assert error["code"] == "install_failed"
    assert f"{BIG.filename}: {index.host} gave another file" in error["hint"]


def test_a_pin_in_an_included_file_counts(owners):
    """Wherever in the source a requirement is pinned, another file than that is not installed; the right one is."""
    for digest, code in ((SMALL.sha256, None), ("0" * 64, "hash_mismatch")):
        files = {
            "main.py": "import small\nprint(small.ANSWER)\n",
            "requirements.txt": "-r requirements/base.txt\n",
            "requirements/base.txt": f"small==1.0 \\\n    --hash=sha256:{digest}\n",
        }
        build = owners[0].build(f"included-{digest[:4]}", {"files": files})
        assert (build["error"] or {}).get("code") == code, build["error"]


def test_a_package_that_does_not_exist_is_named(owners):
    """A name that the index does not know is in the error."""
    error = failed(owners[0], "no-package", {"main.py": "", "requirements.txt": "surely-not-there==1.0\n"})

    assert error["code"] == "dependencies_unresolvable"
    assert "surely-not-there" in error["message"]


def test_an_index_that_is_down_is_asked_again_then_said(owners, index):
    """An index that answers 503 is asked several times; the error says so, and without its password."""
    index.down = True
    asked = len(index.requests)
    try:
        error = failed(owners[0], "index-down", {"main.py": "", "requirements.txt": "other-package==1.0\n"})
    finally:
        index.down = False

    assert len(index.requests) - asked >= 2
    assert index.host in error["message"] + error["hint"]
    assert "503" in error["message"] + error["hint"]
    assert not [secret for secret in index.secrets if secret in str(error)]


NATIVE = """
import subprocess, zipfile
def build_wheel(folder, config_settings=None, metadata_directory=None):
    open("one.c", "w").write("int one(void) { return 1; }")
    subprocess.run([COMPILER, "-shared", "-fPIC", "-o", "one.so", "one.c"], check=True)
    name, about = f"native-{VERSION}-py3-none-any.whl", f"native-{VERSION}.dist-info"
    with zipfile.ZipFile(f"{folder}/{name}", "w") as wheel:
        wheel.write("one.so")
        wheel.writestr("native.py", "import ctypes\\nONE = ctypes.CDLL(__file__[:-9] + 'one.so').one()\\n")
        wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\\nName: native\\nVersion: {VERSION}\\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\\nTag: py3-none-any\\n")
        wheel.writestr(f"{about}/RECORD", "")
    return name
"""


@pytest.mark.parametrize(("compiler", "version"), [("cc", "1.0"), ("no-such-cc", "2.0")])
def test_a_source_distribution_that_needs_a_compiler(owners, index, compiler, version):
    """With a compiler on the machine it is built; without one the error has the compiler's name."""
    backend = f"COMPILER, VERSION = {compiler!r}, {version!r}\n{NATIVE}"
    system = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    index.add(sdist("native", version, {"pyproject.toml": system, "backend.py": backend}))
    source = {"main.py": "import native\nprint(native.ONE)\n", "requirements.txt": f"native=={version}\n"}

    build = owners[0].build(f"native-{compiler}", {"files": source})

    if shutil.which(compiler, path="/usr/bin:/bin"):
        assert build["status"] == "succeeded", build["error"]
        assert owners[0].run(f"native-{compiler}")["output"]["stdout"] == "1\n"
    else:
        assert build["error"]["code"] == "install_failed"
        assert (
            f"from its source: FileNotFoundError: [Errno 2] No such file or directory: '{compiler}'"
            in (build["error"]["message"])
        )


def npm_source(**files):
    """Return a source for Node without a lock."""
    manifest = {"name": "app", "version": "1.0.0", "main": "main.js"}
    return {
        "main.js": "console.log('ran')\n",
        "package.json": json.dumps(manifest | files.pop("manifest", {})),
        **files,
    }


@pytest.mark.parametrize("with_lock", [True, False])
def test_an_npm_package_from_another_place(owners, index, elsewhere, with_lock):
    """One that a project names by its address is fetched from there, beside those of the registry."""
    far = packages.npm_package("far", "1.0.0", {"index.js": "module.exports = 'far'\n"})
    elsewhere.tampered["/archives/far.tar.gz"] = far.data
    address = f"{elsewhere.url}/archives/far.tar.gz"
    wanted = {"near": "1.0.0", "far": address}
    entries = {
        "": {"name": "app", "version": "1.0.0", "dependencies": wanted},
        "node_modules/near": {
            "version": "1.0.0",
            "resolved": index.tarball_url(NEAR),
            "integrity": npm_integrity(NEAR),
        },
        "node_modules/far": {"version": "1.0.0", "resolved": address, "integrity": far.integrity},
    }
    lock = {"name": "app", "version": "1.0.0", "lockfileVersion": 3, "requires": True, "packages": entries}
    files = npm_source(manifest={"dependencies": wanted})
    if with_lock:
        files["package-lock.json"] = json.dumps(lock)
    files["main.js"] = "console.log(require('near'), require('far'))\n"

    built(owners[0], f"two-places-{with_lock}".lower(), files)

    assert owners[0].run(f"two-places-{with_lock}".lower())["output"]["stdout"] == "near far\n"


def test_npm_scripts_that_fail_are_told(owners, index):
    """A package whose script fails: the build fails with what the script said."""
    hooks = {"preinstall": "echo 'the script is sorry' >&2; exit 3"}
    index.add(npm_package("sorry", "1.0.0", {"index.js": ""}, scripts=hooks))

    error = failed(owners[0], "npm-sorry", npm_source(manifest={"dependencies": {"sorry": "1.0.0"}}))

    assert error["code"] == "install_failed"
    assert "the script is sorry" in error["message"]


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("build", "`npm run build` failed: the queen is missing"),
        (
            "prepare",
            "The project's own script `echo the queen is missing; exit 3` failed while npm installed: the queen",
        ),
    ],
)
def test_scripts_of_the_projects_own_that_fail_are_told(owners, script, told):
    """What they printed is the reason, though they complained of nothing."""
    scripts = {script: "echo the queen is missing; exit 3"}
    manifest = {"scripts": scripts, "main": "made.js"} if script == "build" else {"scripts": scripts}

    error = failed(owners[0], f"npm-own-{script}", npm_source(manifest=manifest))

    assert error["code"] == "install_failed"
    assert error["message"].startswith(told)


def test_an_npm_package_that_does_not_exist_is_named(owners):
    """A name that the registry does not know is in the error."""
    error = failed(owners[0], "npm-none", npm_source(manifest={"dependencies": {"surely-not-there": "1.0.0"}}))

    assert "surely-not-there" in error["message"]
