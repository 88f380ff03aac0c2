"""What is shared between projects is poisoned by nobody: not by the code that a build runs, nor by a package's files.

One project depends on code that attacks while it is built, another on the same wheels. What the other has, and gets
with its next build, stays the same to the byte, and the credentials of the index are seen by nobody.
"""

import json

import pytest
from build_attack import program
from hostile_packages import HOSTILE_WHEELS, OBEDIENT, PROJECT, SETUPTOOLS, VICTIM, VICTIM_NPM, lock_of_npm
from layer_trees import trees
from package_files import PackageFile, npm_package, sdist, wheel
from package_index import serve_packages

pytestmark = [pytest.mark.root, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def index():
    """The operator's index, which wants user and password; bystanders' packages and an attacker's are on it."""
    with serve_packages() as served:
        served.add(VICTIM, VICTIM_NPM, wheel("setuptools", "80.0", {"setuptools/build_meta.py": SETUPTOOLS}))
        yield served


@pytest.fixture(scope="module")
def operator(index, tmp_path_factory):
    """The operator's settings for Python and for npm, both with credentials."""
    npmrc = tmp_path_factory.mktemp("operator") / "npmrc"
    npmrc.write_text(index.npmrc)
    npmrc.chmod(0o644)
    return {
        "SKEP_INDEX_URL": index.url,
        "SKEP_EGRESS_ALLOW_PRIVATE": index.host,
        "NPM_CONFIG_USERCONFIG": str(npmrc),
    }


@pytest.fixture(scope="module")
def attack(skep, index):
    """The program that hostile packages run, made for this installation."""
    clean = f"http/{index.host}/files/{VICTIM.filename}"
    asked = [
        ["GET", "/pypi/simple/victim/"],
        ["GET", "/pypi/simple/../../"],
        ["GET", f"/pypi/files/{VICTIM.sha256}/{clean}"],
        ["GET", f"/pypi/files/{'0' * 64}/{clean}"],
        ["GET", f"/pypi/files/{VICTIM.sha256}/http/{index.host}/files/evil-1.0.tar.gz"],
        ["PUT", f"/pypi/files/{VICTIM.sha256}/{clean}", "Content-Length: 0"],
        ["DELETE", f"/pypi/files/{VICTIM.sha256}/{clean}"],
        ["GET", "/locked/"],
        ["GET", f"/locked/{VICTIM.filename}"],
        ["GET", "/npm/victim-npm"],
        ["GET", f"http://{index.host}/simple/victim/"],
        ["CONNECT", index.host],
        ["TRACE", "/pypi/simple/victim/"],
    ]
    places = [skep.settings.keeper_dir / "layers", skep.settings.state_dir, skep.settings.data_dir, "/var/lib/skep"]
    return program(places=[str(place) for place in places], asked=asked, needles=index.secrets)


@pytest.fixture(scope="module")
def neighbour(attacker):
    """Somebody in another project."""
    project = attacker.make("/api/v1/projects", {"name": "neighbour"})["id"]
    wanted = {"name": "neighbour", "scopes": ["admin"]}
    other = type(attacker)(attacker.skep)
    other.token = attacker.make("/api/v1/tokens", wanted, headers={"X-Skep-Project": project})["token"]
    return other


@pytest.fixture(scope="module")
def sources(index, attack):
    """The attacker's sources: what is hostile -> files. Each stands on the wheel that the neighbour has, too."""
    setup = sdist("evil", "1.0", {"setup.py": attack + "\nLOOT = attack('setup')\n"})
    backend = SETUPTOOLS.replace("__legacy__ = Backend()\n", "")
    script = f"{attack}\njson.dump(attack('npm'), open('loot.json', 'w'))\n"
    hooks = {"preinstall": "python3 attack.py", "postinstall": "python3 attack.py"}
    evil_npm = npm_package("evil-npm", "1.0.0", {"attack.py": script}, scripts=hooks)
    index.add(setup, evil_npm)
    return {
        "setup": {"main.py": OBEDIENT, "requirements.txt": "victim==1.0\nevil==1.0\n"},
        "backend": {
            "main.py": OBEDIENT,
            "pyproject.toml": PROJECT,
            "backend.py": backend,
            "setup.py": f"{attack}\nLOOT = attack('backend')\n",
        },
        "npm": {"obey.py": OBEDIENT, **lock_of_npm(index, [VICTIM_NPM, evil_npm])},
    }


@pytest.fixture(scope="module")
def bystanders():
    """The neighbour's sources."""
    return {"python": {"main.py": OBEDIENT, "requirements.txt": "victim==1.0\n"}}


@pytest.fixture(scope="module")
def before(neighbour, bystanders, index, skep):
    """What the neighbour has before the attack: its builds, and all layers on disk."""
    bystanders["npm"] = {"obey.py": OBEDIENT, **lock_of_npm(index, [VICTIM_NPM])}
    builds = {name: neighbour.build({"files": files}) for name, files in bystanders.items()}
    assert {name: build["status"] for name, build in builds.items()} == dict.fromkeys(bystanders, "succeeded"), builds
    return builds, trees(skep.settings.keeper_dir)


@pytest.fixture(scope="module")
def attacked(attacker, sources, before):
    """The hostile builds, when they are over, and what each of them found."""
    found = {}
    for name, files in sources.items():
        build = attacker.build({"files": files})
        assert build["status"] == "succeeded", (name, build["error"])
        look = "print(open('/app/node_modules/evil-npm/loot.json').read())" if name == "npm" else LOOK
        found[name] = json.loads(attacker.says(look, agent=build["agent_id"]))
    return found


LOOK = """
import glob, sys
sys.path += glob.glob("/opt/env/lib/python3*/site-packages")
import evil
print(evil.LOOT)
"""


def test_the_attack_reaches_what_is_its_own(attacked, attacker, skep):
    """It did run, and could write its own folders, and the environment as it sees it: it can be seen to do harm."""
    assert {name: (loot["who"], loot["own"]) for name, loot in attacked.items()} == {
        name: (name, True) for name in ("setup", "backend", "npm")
    }
    assert attacked["setup"]["shared"] > 0
    assert attacked["backend"]["shared"] > 0
    assert len(layers_that_hold(skep, b"# poisoned\n")) >= 3
    # What it changed its view of is the very layer that the neighbour stands on.
    assert any("Shared layer" in line and "used again" in line for log in logs(attacker) for line in log.splitlines())


def logs(attacker):
    """Return the logs of all builds of a project."""
    for build in attacker.ask("/api/v1/builds?limit=100")["items"]:
        yield attacker.send("GET", f"/api/v1/builds/{build['id']}/log", headers={"Accept": "text/plain"})[1].decode()


def layers_that_hold(skep, mark):
    """Return the layers in which some file holds *mark*."""
    layers = skep.settings.keeper_dir / "layers"
    return {
        path.relative_to(layers).parts[0]
        for path in layers.rglob("*")
        if path.is_file() and not path.is_symlink() and mark in path.read_bytes()
    }


def test_nothing_of_the_host_s_or_of_others_was_written(attacked):
    """Layers, cache, program folders and devices are out of reach by each way that was tried."""
    assert {name: (loot["outside"], loot["devices"]) for name, loot in attacked.items()} == {
        name: ([], []) for name in attacked
    }


def test_the_layers_that_were_there_are_the_same(attacked, before, skep):
    """Each layer that was on disk before is there, with the same names, modes, targets and contents."""
    after = trees(skep.settings.keeper_dir)

    assert {layer: after.get(layer) for layer in before[1]} == before[1]


def test_no_credential_is_read(attacked, index):
    """Neither environment, files nor processes, nor an answer of the door, hold anything of the index' password."""
    for name, loot in attacked.items():
        assert loot["secrets"] == [], name
        told = json.dumps(loot)
        assert [secret for secret in index.secrets if secret in told] == [], name
    # The door did answer, and did show its credentials to the index.
    assert "victim-1.0-py3-none-any.whl" in attacked["setup"]["answers"]["GET /pypi/simple/victim/"]
    assert any(authorization for _, authorization in index.requests)


def test_no_log_tells_a_credential(attacker, attacked, index):
    """What a build says to its owner holds nothing of them, either."""
    told = "".join(logs(attacker)) + json.dumps(attacker.ask("/api/v1/builds?limit=100"))

    assert "evil" in told
    assert [secret for secret in index.secrets if secret in told] == []


def test_the_neighbour_s_next_build_is_byte_identical(attacked, before, neighbour, bystanders, skep):
    """Only the source that was changed is new; what it stands on is what it stood on, and it runs."""
    known = set(trees(skep.settings.keeper_dir))
    for name, files in bystanders.items():
        source = {"files": {**files, "notes.txt": "changed"}}
        agent = before[0][name]["agent_id"]
        build = neighbour.make(f"/api/v1/agents/{agent}/build", {"source": source})
        neighbour._over(f"/api/v1/builds/{build['id']}")
        assert neighbour.says(CHECK[name], agent=agent) == "clean\n"
    after = trees(skep.settings.keeper_dir)

    assert {layer: after.get(layer) for layer in before[1]} == before[1]
    changed = [layer for layer in set(after) - known if not any(path.endswith("notes.txt") for path in after[layer])]
    assert [layer for layer in changed if "app/node_modules" not in after[layer]] == []


CHECK = {
    "python": """
import os, subprocess
look = "import victim; print(open(victim.__file__).read().strip() == 'CLEAN = True' and 'clean')"
subprocess.run(["/opt/env/bin/python", "-c", look], check=True)
""",
    "npm": "print(open('/app/node_modules/victim-npm/index.js').read().count('clean') and 'clean')",
}


def test_what_is_made_anew_is_byte_identical(attacked, before, attacker, neighbour, bystanders, skep):
    """With its layers pruned, the neighbour's builds make what they made at first, from the cache that was attacked."""
    for who in (attacker, neighbour):
        for agent in who.ask("/api/v1/agents?limit=100")["items"]:
            if agent["id"] != attacker.obedient:
                assert who.send("DELETE", f"/api/v1/agents/{agent['id']}")[0] in (200, 202, 204)
    prune(attacker)
    left = set(trees(skep.settings.keeper_dir))
    for name, files in bystanders.items():
        build = neighbour.build({"files": files})
        assert build["status"] == "succeeded", (name, build["error"])
    after = trees(skep.settings.keeper_dir)

    # What the attacker's remaining agent stands on was there before as well.
    made = {layer for layer in before[1] if layer not in left}
    assert made
    assert {layer: after.get(layer) for layer in made} == {layer: before[1][layer] for layer in made}


def prune(attacker):
    """Remove all that no agent needs any more."""
    status, said = attacker.send("POST", "/api/v1/images/prune", {})
    assert status == 200, said


#: What every environment has beside its programs and packages.
ENVIRONMENT = ("opt/env/lib64", "opt/env/pyvenv.cfg", "opt/env/CACHEDIR.TAG", "opt/env/.gitignore", "opt/env/.lock")
#: Starts the environment's Python, and tells whether a wheel's code was run by that.
RUNS = """
import os, subprocess
subprocess.run(["/opt/env/bin/python", "-c", ""], check=True)
print(os.path.exists("/opt/env/ran-in-build"))
"""


@pytest.mark.parametrize("evil", HOSTILE_WHEELS, ids=lambda evil: evil.project)
def test_a_hostile_wheel_harms_only_who_asks_for_it(evil, attacker, neighbour, before, bystanders, index, skep):
    """No code of a wheel runs while the shared layer is made, no file of it leaves it; a neighbour's stays its own."""
    index.add(evil)
    known = trees(skep.settings.keeper_dir)

    build = attacker.build({"files": {"main.py": OBEDIENT, "requirements.txt": f"victim==1.0\n{evil.project}==1.0\n"}})

    after = trees(skep.settings.keeper_dir)
    assert {layer: after.get(layer) for layer in known} == known
    new = {layer: after[layer] for layer in set(after) - set(known)}
    ours = {"opt", "app", "app/main.py", "app/requirements.txt", "opt/env", "opt/env/bin", "opt/env/lib", *ENVIRONMENT}
    for tree in new.values():
        # uv takes the way up out of a name, and puts the file where it may lie; or it refuses the wheel.
        assert [
            path for path in tree if not path.startswith(("opt/env/bin/", "opt/env/lib/")) and path not in ours
        ] == []
    if build["status"] == "succeeded":
        # It is what was asked for: its own project has it, and what it holds runs there.
        assert len(new) == 2
        ran = attacker.says(RUNS, agent=build["agent_id"])
        assert ran == f"{evil.project == 'startcode'}\n"
    else:
        assert evil.project in build["error"]["message"] + str(build["error"].get("hint"))
    again = neighbour.build({"files": {**bystanders["python"], "kind.txt": evil.project}})
    assert again["status"] == "succeeded", again["error"]
    assert neighbour.says(CHECK["python"], agent=again["agent_id"]) == "clean\n"


def test_a_lock_that_lies_poisons_nothing(attacker, neighbour, index):
    """Who names a wheel's true name and hash, and an address with another content, gets nothing into what is shared."""
    prize = wheel("prize", "1.0", {"prize.py": "CLEAN = True\n"})
    swapped = wheel("prize", "1.0", {"prize.py": "CLEAN = False\n"})
    index.add(prize, PackageFile("elsewhere", f"swapped/{prize.filename}", swapped.content))
    lock = (
        'version = 1\nrevision = 3\nrequires-python = ">=3.11"\n\n'
        '[[package]]\nname = "app"\nversion = "1"\nsource = { virtual = "." }\ndependencies = [{ name = "prize" }]\n\n'
        '[package.metadata]\nrequires-dist = [{ name = "prize" }]\n\n'
        f'[[package]]\nname = "prize"\nversion = "1.0"\nsource = {{ registry = "{index.plain_url}" }}\n'
        f'wheels = [{{ url = "http://{index.host}/files/swapped/{prize.filename}", hash = "sha256:{prize.sha256}" }}]\n'
    )
    project = '[project]\nname = "app"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = ["prize"]\n'

    hostile = attacker.build({"files": {"main.py": OBEDIENT, "pyproject.toml": project, "uv.lock": lock}})
    clean = neighbour.build({"files": {"main.py": OBEDIENT, "requirements.txt": "prize==1.0\n"}})

    assert any("/swapped/" in path for path, _ in index.requests)
    assert hostile["status"] == "failed", hostile
    assert neighbour.says("import prize; print(prize.CLEAN)", agent=clean["agent_id"]) == "True\n"
