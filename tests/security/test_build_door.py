"""Rules 5 and 12: one guarded way out, one parser for deciding and for connecting, and only while a build needs it."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from skep.product.images.options import build_options
from skep.testing.git_server import serve_git

pytestmark = pytest.mark.root

PYPROJECT = """
[project]
name = "hostile"
version = "1"
[project.scripts]
hostile = "main:main"
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
#: Its import attacks the door; what came of it is found in the environment that is built.
BACKEND = r"""
import json, os, socket, zipfile

def ask(raw):
    try:
        with socket.create_connection(("127.0.0.1", 80), 5) as door:
            door.sendall(raw.encode("latin-1"))
            return door.recv(4096).split(b"\r\n")[0].decode()
    except OSError as error:
        return type(error).__name__

def attack():
    found = {raw: ask(raw) for raw in json.load(open("/app/asked.json"))}
    for path in ("/opt/skep/bin/uv", "/opt/skep/supervisor/__main__.py", "/usr/bin/git"):
        try:
            open(path, "ab").close()
            found[path] = "written"
        except OSError:
            pass
    open("/opt/env/trap/found", "w").write(json.dumps(found))
    open("/opt/env/trap/setuid", "w").write("x")
    os.chmod("/opt/env/trap/setuid", 0o6777)
    os.symlink("/etc/shadow", "/opt/env/trap/link")
    os.mkfifo("/opt/env/trap/fifo")
    open("/opt/env/trap/sparse", "wb").truncate(1 << 31)

# It is imported once for each question that the installer has.
if not os.path.exists("/opt/env/trap"):
    os.makedirs("/opt/env/trap")
    attack()

def build_editable(folder, config_settings=None, metadata_directory=None):
    name = "hostile-1-py3-none-any.whl"
    with zipfile.ZipFile(f"{folder}/{name}", "w") as wheel:
        wheel.writestr("hostile-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: hostile\nVersion: 1\n")
        wheel.writestr("hostile-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("hostile-1.dist-info/RECORD", "")
    return name
"""
OBEDIENT = 'import json, os\nexec(json.load(open(os.environ["SKEP_INPUT"]))["code"])\n'


@pytest.fixture(scope="module")
def git(tmp_path_factory):
    """A git server on the loopback."""
    with serve_git(tmp_path_factory.mktemp("repositories")) as server:
        yield server


@contextmanager
def listening(answer):
    """Serve HTTP on the loopback; *answer* gets the handler of each GET."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            answer(self)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def canary():
    """A server on the loopback that nobody may reach: the paths of those who did, and its host:port."""
    reached = []

    def note(handler):
        reached.append(handler.path)
        handler.send_response(404)

    with listening(note) as host:
        yield reached, host


@pytest.fixture(scope="module")
def mover(canary):
    """A server that sends everybody on to the canary."""

    def send_on(handler):
        handler.send_response(302)
        handler.send_header("Location", f"http://{canary[1]}{handler.path}")

    with listening(send_on) as host:
        yield host


@pytest.fixture(scope="module")
def operator(git, canary, mover):
    """The operator allows two git servers at their private addresses; a third may be named, but not reached."""
    return {
        "SKEP_GIT_HTTP_HOSTS": f"{git.host},{mover},{canary[1]}",
        "SKEP_EGRESS_ALLOW_PRIVATE": f"{git.host},{mover}",
    }


@pytest.fixture(scope="module")
def index(skep):
    """Host and port of the index that builds use here."""
    options = build_options(skep.settings, uv_version="")
    rule = options.index_hosts[-1 if options.indexes.named else 0]
    return rule.host, rule.port


def connect(target):
    """Return a request for a tunnel."""
    return f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"


@pytest.fixture(scope="module")
def built(attacker, git, canary, index):
    """A build whose backend attacks the door, when it is over; and what it asked for."""
    port = int(attacker.skep.url.rpartition(":")[2])
    targets = [f"127.0.0.1:{port}", f"localhost:{port}", f"[::ffff:127.0.0.1]:{port}", f"[::1]:{port}"]
    targets += [f"0x7f.1:{port}", f"2130706433:{port}", f"0177.0.0.1:{port}", f"127.1:{port}", f"0:{port}"]
    host, open_port = index
    targets += [f"{host}@127.0.0.1:{port}", f"{host}\0.example.org:{port}", f"{host}.127.0.0.1:{port}"]
    targets += ["169.254.169.254:80", "example.org:443", f"{host}:0{open_port}", git.host, canary[1]]
    targets += [f"{host}:{other}" for other in (22, 8443, port) if other != open_port]
    asked = [connect(target) for target in targets]
    absolute = f"GET http://{host}:{open_port}/ HTTP/1.1\r\nHost: {host}\r\n"
    asked += [
        connect(f"{host}:{open_port}").replace("Host", f"Origin: http://{host}\r\nHost"),
        f"GET http://127.0.0.1:{port}/healthz HTTP/1.1\r\nHost: {host}\r\n\r\n",
        f"{absolute}Host: 127.0.0.1:{port}\r\n\r\n",
        f"{absolute}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        f"{absolute}Content-Length: 4\r\nContent-Length: 5\r\n\r\n",
        f"{absolute} folded: x\r\n\r\n",
        f"GET file:///etc/passwd HTTP/1.1\r\nHost: {host}\r\n\r\n",
    ]
    # Of the door itself: what it does not answer here, and files of hosts that no build may reach.
    files_of = (
        f"http/127.0.0.1:{port}",
        f"http/{canary[1]}",
        f"http/{git.host}",
        "http/169.254.169.254",
        "https/example.org",
    )
    own = ["/", "/healthz", "/locked/", "/npm/left-pad", "/pypi", "/pypi/../healthz", "/pypi/simple/..%2f..%2fhealthz/"]
    own += [f"/pypi/files/{digest}/{place}/x" for place in files_of for digest in ("-", "0" * 64)]
    asked += [f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" for path in own]
    asked.append("PUT /pypi/simple/x/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\n\r\nx")
    files = {"pyproject.toml": PYPROJECT, "backend.py": BACKEND, "main.py": OBEDIENT, "asked.json": json.dumps(asked)}
    return attacker.build({"files": files}, command=["python3", "main.py"]), asked


def test_a_hostile_build_gets_nowhere(attacker, built, canary):
    """Loopback in any spelling, other hosts, ports, headers, methods, sites are refused; nobody was reached."""
    build, asked = built
    assert build["status"] == "succeeded", build["error"]
    found = json.loads(attacker.says("print(open('/opt/env/trap/found').read())", agent=build["agent_id"]))

    assert set(found) == set(asked)
    said = {raw: words.split(" ")[1:2] for raw, words in found.items()}
    through = {
        raw: found[raw] for raw, status in said.items() if status not in (["400"], ["403"], ["404"], ["405"], ["424"])
    }
    assert through == {}
    # Only the door itself says that there is nothing, and why it fetches nothing.
    assert {raw for raw, status in said.items() if status == ["404"] and not raw.startswith("GET /")} == set()
    refused = [words for raw, words in found.items() if said[raw] == ["424"]]
    assert all("is not on the list of hosts" in words or "may be reached" in words for words in refused), refused
    assert canary[0] == []


def test_the_door_is_not_shut_for_the_index(attacker, built, index):
    """The same door leads to the index: what was refused was not refused for want of a door."""
    log = attacker.send("GET", f"/api/v1/builds/{built[0]['id']}/log", headers={"Accept": "text/plain"})[1]
    assert b"Refused: example.org:443 is not on the list" in log
    assert b"SKEP_INDEX_HOSTS" in log
    host, port = index
    positive = attacker.build(
        {
            "files": {
                "pyproject.toml": PYPROJECT,
                "backend.py": BACKEND,
                "main.py": OBEDIENT,
                "asked.json": json.dumps([connect(f"{host}:{port}"), connect(f"{host.title()}.:{port}")]),
            }
        },
        command=["python3", "main.py"],
    )
    found = attacker.says("print(open('/opt/env/trap/found').read())", agent=positive["agent_id"])
    assert {said.split(" ")[1] for said in json.loads(found).values()} == {"200"}


def test_a_layer_takes_nothing_along_that_bites(attacker, built, skep):
    """In what was built no file is set-id, no pipe is left, a link leads nowhere, and a hole costs nothing."""
    look = """
import os, stat
found = os.lstat("/opt/env/trap/setuid")
print(oct(found.st_mode), sorted(os.listdir("/opt/env/trap")), os.path.exists("/opt/env/trap/link"))
"""
    said = attacker.says(look, agent=built[0]["agent_id"])

    # The agent may write to its own copy; no other user of the machine comes to the layer at all.
    assert said == "0o100777 ['found', 'link', 'setuid', 'sparse'] False\n"
    sparse = next(skep.settings.keeper_dir.glob("layers/*/opt/env/trap/sparse")).stat()
    assert (sparse.st_size, sparse.st_blocks) == (1 << 31, 0)


def test_a_repository_that_leads_elsewhere(attacker, git, canary, mover):
    """Neither a redirect nor a repository's own address leads to a private address; the one that is allowed does."""
    git.repository("good").commit({"main.py": "print(1)"})
    addresses = (f"http://{mover}/moved.git", f"http://{canary[1]}/direct.git", git.url("good"))
    ends = [attacker.build({"git": {"url": url}})["status"] for url in addresses]

    assert (ends, canary[0]) == (["failed", "failed", "succeeded"], [])


URLS = (
    "ext::sh -c id",
    "file:///etc",
    "/etc/passwd",
    "git://h/x",
    "https://-oProxyCommand=id/x",
    "ssh://-oProxyCommand=id/x",
    "https://user:password@h/x.git",
    "http://127.0.0.1/x",
    "https://0x7f.1/x",
    "https://2130706433/x",
    "https://127.1/x",
    "https://h\\@evil/x",
    "https://[fe80::1%25eth0]/x",
    "https://h/x\n--upload-pack=id",
)
REFS = ("-x", "--upload-pack=id", "a..b", "HEAD@{1}", "a:b", "+x", "^x", "refs/*", "a b", "a\nb", "x.lock", "a~1")


def test_addresses_and_refs_that_mean_something_else(attacker):
    """No transport but https, no option in disguise, no address in a second spelling is accepted."""

    def sent(git):
        return attacker.send("POST", "/api/v1/agents", {"name": "odd", "source": {"git": git}})[0]

    assert {url: sent({"url": url}) for url in URLS} == dict.fromkeys(URLS, 422)
    assert {ref: sent({"url": "https://h/x", "ref": ref}) for ref in REFS} == dict.fromkeys(REFS, 422)
    assert sent({"url": "https://h/x", "ref": "main"}) == 201
