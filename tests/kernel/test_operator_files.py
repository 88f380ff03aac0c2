"""What pip, uv and npm are set to, as the server hears of it."""

import base64

import pytest

from skep.kernel.indexes import PUBLIC_NPM, PUBLIC_PYTHON, Indexes, Login, with_own
from skep.kernel.operator_files import OperatorFiles, places, read
from skep.kernel.secret import Secret

NONE = OperatorFiles()


def basic(user: str, password: str) -> str:
    """Return the header of a user."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def shown(found: Indexes) -> set[tuple[str, str, str]]:
    """Return origin, path and header of each login."""
    return {(login.origin, login.path, login.header.reveal()) for login in found.logins}


def test_nothing_said_means_the_public_ones() -> None:
    """And then nothing is named, so that the list of hosts alone decides."""
    found = read({}, NONE)
    assert found == Indexes(python=(PUBLIC_PYTHON,), npm=PUBLIC_NPM)
    assert found.named == ()


@pytest.mark.parametrize(
    ("env", "python"),
    [
        ({"PIP_INDEX_URL": "https://p/simple"}, ("https://p/simple",)),
        ({"PIP_INDEX_URL": "https://p/s", "UV_INDEX_URL": "https://u/s"}, ("https://u/s",)),
        ({"UV_DEFAULT_INDEX": "corp=https://d/s", "UV_INDEX_URL": "https://u/s"}, ("https://d/s",)),
        ({"PIP_EXTRA_INDEX_URL": "https://a/s  https://b/s"}, ("https://a/s", "https://b/s", PUBLIC_PYTHON)),
        ({"UV_INDEX": "one=https://a/s https://b/s?x=y", "PIP_INDEX_URL": "https://p/s"},
         ("https://a/s", "https://b/s?x=y", "https://p/s")),
        ({"UV_EXTRA_INDEX_URL": "https://a/s", "PIP_EXTRA_INDEX_URL": "https://b/s"}, ("https://a/s", PUBLIC_PYTHON)),
        ({"PIP_INDEX_URL": "file:///srv/wheels", "UV_INDEX": "/srv/more"}, (PUBLIC_PYTHON,)),
    ],
)  # fmt: skip
def test_variables(env, python) -> None:
    """Uv's go before pip's; indexes besides the default come first; those on the disk are left out."""
    assert read(env, NONE).python == python


def test_pips_files() -> None:
    """The later file counts more, a variable most; lists have a line each; an odd file says nothing."""
    machine = "[global]\nindex-url = https://one/simple\nextra-index-url =\n    https://two/simple\n    https://three/simple\n"
    user = "[install]\nindex_url = https://four/simple%20x\n[global]\ntimeout = 3\n"
    found = read({}, OperatorFiles(pip=(machine, user, "]broken[")))
    assert found.python == ("https://two/simple", "https://three/simple", "https://four/simple%20x")
    assert read({"PIP_INDEX_URL": "https://env/s"}, OperatorFiles(pip=(machine,))).python[-1] == "https://env/s"


def test_uvs_files() -> None:
    """Explicit indexes are for those who name them; the user's file goes before the machine's."""
    machine = 'index-url = "https://machine/simple"\nextra-index-url = ["https://more/simple"]\n'
    user = """
    [[index]]
    name = "corp-main"
    url = "https://corp/simple"
    default = true
    [[index]]
    name = "torch"
    url = "https://torch/simple"
    explicit = true
    [[index]]
    url = "https://extra/simple"
    """
    env = {"UV_INDEX_CORP_MAIN_USERNAME": "me", "UV_INDEX_CORP_MAIN_PASSWORD": "p"}
    found = read(env, OperatorFiles(uv=(machine, user)))
    assert found.python == ("https://extra/simple", "https://more/simple", "https://corp/simple")
    assert ("https://corp", "/", basic("me", "p")) in shown(found)
    assert read({}, OperatorFiles(uv=("= broken",))).python == (PUBLIC_PYTHON,)


def test_user_and_password_leave_the_address() -> None:
    """They become the login of its server, and of what lies beside its pages; the value shows neither."""
    found = read({"PIP_INDEX_URL": "https://me:p%40ss@h.lan:81/repo/simple/"}, NONE)
    assert found.python == ("https://h.lan:81/repo/simple/",)
    header = basic("me", "p@ss")
    assert shown(found) == {("https://h.lan:81", "/", header), ("https://h.lan:81", "/repo/", header)}
    assert "p@ss" not in repr(found)
    assert {"p@ss", "me:p@ss", header.removeprefix("Basic ")} == set(found.hidden)


def test_npms_files() -> None:
    """Registries, also of scopes; tokens, passwords, variables in them; a credential keeps its host and path."""
    text = """
    # a comment = no
    registry = "https://npm.lan/repo/"
    @corp:registry=http://corp.lan:4873
    //npm.lan/repo/:_authToken=${TOKEN}
    //corp.lan:4873/:username=me
    //corp.lan:4873/:_password=cDRzcw==
    //other.lan/:_auth=bWU6eA==
    """
    found = read({"TOKEN": "tok"}, OperatorFiles(npm=("registry=https://no.lan", text)))
    assert (found.npm, dict(found.scopes)) == ("https://npm.lan/repo/", {"@corp": "http://corp.lan:4873"})
    assert shown(found) == {
        ("https://npm.lan", "/repo/", "Bearer tok"),
        ("http://corp.lan:4873", "/", basic("me", "p4ss")),
        ("https://other.lan", "/", "Basic bWU6eA=="),
    }
    assert read({"NPM_CONFIG_REGISTRY": "https://env.lan"}, OperatorFiles(npm=(text,))).npm == "https://env.lan"


def test_netrc_speaks_of_the_indexes_only() -> None:
    """Of other hosts nothing is handed on; what stands in an address counts more."""
    text = (
        "machine h.lan\n login me password p\nmachine git.lan login no password no\n"
        "macdef x\n machine no\n\ndefault login d password d\n"
    )
    found = read({"PIP_INDEX_URL": "https://h.lan/simple"}, OperatorFiles(netrc=text))
    assert shown(found) == {("https://h.lan", "/", basic("me", "p"))}
    both = read({"PIP_INDEX_URL": "https://u:q@h.lan/simple"}, OperatorFiles(netrc=text))
    assert [login.header.reveal() for login in both.logins if login.path == "/"][-1] == basic("u", "q")


def test_skeps_own_settings_win() -> None:
    """An index of Skep's own is the whole answer; more of them go before it, or before the operator's default."""
    found = Indexes(python=("https://extra/s", "https://pip/s"), npm="https://npm.lan")
    own = with_own(found, "https://me:p@own/simple", (), None)
    assert (own.python, own.npm) == (("https://own/simple",), "https://npm.lan")
    assert own.named == ("https://own/simple", "https://npm.lan")
    assert with_own(found, None, ("https://a/s",), "https://r").python == ("https://a/s", "https://pip/s")
    assert with_own(found, None, (), "https://t:@r").npm == "https://r"
    assert with_own(found, None, (), None) == found


def test_the_line_says_all_there_and_back() -> None:
    """With credentials: it goes to the server and nowhere else."""
    found = Indexes(
        python=("https://a/s",),
        npm="https://n",
        scopes={"@s": "https://s"},
        logins=(Login(origin="https://a", header=Secret("Bearer x"), path="/y/"),),
        authorities="-----BEGIN",
    )
    assert Indexes.from_json(found.to_json()) == found
    assert "\n" not in found.to_json()


def test_where_the_files_lie() -> None:
    """As pip, uv, npm and curl look for them; a variable may name others, or none."""
    found = places({"HOME": "/home/me"})
    assert found["pip"][-2:] == ("/home/me/.pip/pip.conf", "/home/me/.config/pip/pip.conf")
    assert found["uv"] == ("/etc/xdg/uv/uv.toml", "/etc/uv/uv.toml", "/home/me/.config/uv/uv.toml")
    assert found["npm"][-1] == "/home/me/.npmrc"
    assert found["netrc"] == ("/home/me/.netrc",)
    other = places(
        {
            "HOME": "/h",
            "PIP_CONFIG_FILE": "/dev/null",
            "UV_NO_CONFIG": "1",
            "npm_config_userconfig": "/n",
            "NETRC": "/r",
        }
    )
    assert (other["pip"], other["uv"], other["npm"][-1], other["netrc"]) == ((), (), "/n", ("/r",))
