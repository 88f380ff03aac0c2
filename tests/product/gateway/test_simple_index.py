"""Pages of Python indexes, as they come and as they are handed on."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.kernel.errors import InvalidError
from skep.product.gateway.mirror import npm, simple_index
from skep.product.gateway.mirror.door_paths import Place, file_path, parse_file_path, place_of, upstream
from skep.product.gateway.mirror.simple_index import IndexFile, parse_html, parse_json, render

AT = "https://index.example/simple/a/"
SHA = "ab" * 32


def test_html_as_old_indexes_write_it() -> None:
    """Relative and absolute links, hashes, quoted versions, yanked files; what is no file is left out."""
    found = parse_html(
        f"""<html><head><base href="/root/"></head><body>
        <a href="a-1.0.tar.gz#sha256={SHA.upper()}" data-requires-python="&gt;=3.8">a-1.0.tar.gz</a>
        <A HREF='https://files.example/x/a-1.1%2Bcpu-py3-none-any.whl#md5=aa' data-yanked="broken">x</A>
        <a href="a-2.0-py3-none-any.whl" data-dist-info-metadata="sha256={SHA}" data-yanked></a>
        <a href="../">up</a> <a name="no">x</a> <a href="http://[bad/a-1.0.zip">x</a>""",
        AT,
    )
    assert found == [
        IndexFile(
            filename="a-1.0.tar.gz",
            url="https://index.example/root/a-1.0.tar.gz",
            hashes={"sha256": SHA},
            requires_python=">=3.8",
        ),
        IndexFile(
            filename="a-1.1+cpu-py3-none-any.whl",
            url="https://files.example/x/a-1.1%2Bcpu-py3-none-any.whl",
            hashes={"md5": "aa"},
            yanked="broken",
        ),
        IndexFile(
            filename="a-2.0-py3-none-any.whl",
            url="https://index.example/root/a-2.0-py3-none-any.whl",
            yanked=True,
            metadata={"sha256": SHA},
        ),
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        # Warehouse.
        (
            (
                f'<a href="https://f.example/a-1.0.zip#sha256={SHA}" data-requires-python="&gt;=3.9,&lt;4"'
                f' data-dist-info-metadata="sha256={SHA}" data-core-metadata="sha256={SHA}" >a-1.0.zip</a><br />'
            ),
            IndexFile(
                filename="a-1.0.zip",
                url="https://f.example/a-1.0.zip",
                hashes={"sha256": SHA},
                requires_python=">=3.9,<4",
                metadata={"sha256": SHA},
            ),
        ),
        # devpi: several levels up, a hash of a path.
        (
            f'<a href="../../+f/abc/def/a-1.0.zip#sha256={SHA}">a-1.0.zip</a><br/>',
            IndexFile(filename="a-1.0.zip", url="https://index.example/+f/abc/def/a-1.0.zip", hashes={"sha256": SHA}),
        ),
        # Artifactory and Nexus: attributes of their own, a place elsewhere on the server.
        (
            f'<a data-requires-python=">=3.7" href="../../packages/a/1.0/a-1.0.zip#sha256={SHA}" rel="internal" >x</a>',
            IndexFile(
                filename="a-1.0.zip",
                url="https://index.example/packages/a/1.0/a-1.0.zip",
                hashes={"sha256": SHA},
                requires_python=">=3.7",
            ),
        ),
        # GitLab: an attribute that is empty.
        (
            (
                f'<a href="https://g.example/api/v4/projects/1/packages/pypi/files/ff/a-1.0.zip#sha256={SHA}"'
                ' data-requires-python="">a-1.0.zip</a><br>'
            ),
            IndexFile(
                filename="a-1.0.zip",
                url="https://g.example/api/v4/projects/1/packages/pypi/files/ff/a-1.0.zip",
                hashes={"sha256": SHA},
            ),
        ),
        # A server of files; no quotes, capitals, a line's end within the tag, an ampersand.
        ("<A\n HREF=a-1.0.zip>x</A>", IndexFile(filename="a-1.0.zip", url=AT + "a-1.0.zip")),
        ("<a class=x href = 'a-1.0.zip?a=1&amp;b=2' />", IndexFile(filename="a-1.0.zip", url=AT + "a-1.0.zip?a=1&b=2")),
        (
            "<a title='>' data-yanked href=\"a-1.0.zip\">",
            IndexFile(filename="a-1.0.zip", url=AT + "a-1.0.zip", yanked=True),
        ),
        ('<a title=\'it"s\' href="a-1.0.zip">', IndexFile(filename="a-1.0.zip", url=AT + "a-1.0.zip")),
        ("<a title=it's href=a-1.0.zip>", IndexFile(filename="a-1.0.zip", url=AT + "a-1.0.zip")),
        ('<a href="a-1.0.zip" href="b-1.0.zip">', IndexFile(filename="a-1.0.zip", url=AT + "a-1.0.zip")),
    ],
)
def test_html_as_servers_write_it(line, expected) -> None:
    """Each in its way, between others."""
    other = '<abbr href="no-1.0.zip">x</abbr><br><a href="z-1.0.zip">z</a>'
    assert parse_html(f"<!DOCTYPE html><body>{other}\n{line}\n{other}", AT)[1:2] == [expected]


@pytest.mark.parametrize(
    "text",
    [
        '<!-- <a href="a-1.0.zip"> -->',
        '<!-- <a href="a-1.0.zip">',
        "<script>'<a href=\"a-1.0.zip\">'</script>",
        '<meta content="<a href=a-1.0.zip>">',
        '<a href="a-1.0.zip"',
        '<a href="a-1.0.zip>',
        f'<a href="a-1.0.zip" title="{"x" * 100_000}">',
    ],
)
def test_what_only_looks_like_a_link(text) -> None:
    """What is in a comment, a script or another attribute, never ends or is far too long, is none."""
    assert parse_html(text, AT) == []


@pytest.mark.parametrize(
    "text", ["<a ", "<!--", '<a "', "<a href='", '<a href="x', "<script>", "<style ", "<a =", "<!--<a b='", "<x/"]
)
def test_a_hostile_page_is_read_once(text) -> None:
    """A page of megabytes that begins and never ends takes no longer than another one."""
    assert parse_html(text * (4_000_000 // len(text)), AT) == []


@pytest.mark.parametrize(
    "page",
    [
        "<a href=a-1.0.zip>" * 100_001,
        "<b>" * 500_000,
        json.dumps({"files": [{}] * 100_001}),
        '{"files":[' + "{}," * 2_000_000 + "{}]}",
        '{"files":[' + "1," * 5_000_000 + "1]}",
    ],
    ids=["links", "tags", "files", "objects", "numbers"],
)
def test_a_page_has_only_so_many_parts(page) -> None:
    """One of more is refused before objects are made of it."""
    with pytest.raises(InvalidError, match=r"more than|too many"):
        simple_index.parse("application/json" if page.startswith("{") else "text/html", page, AT)


def test_json_is_kept_but_for_the_addresses() -> None:
    """Names, hashes, metadata under each of its names, sizes and times; entries that are none are left out."""
    files = [
        {"filename": "a-1.0.zip", "url": "x/a-1.0.zip", "hashes": {"sha256": SHA}, "size": 7, "upload-time": "T"},
        {
            "filename": "a-2.0.zip",
            "url": "https://o.example/a#f",
            "hashes": {},
            "data-dist-info-metadata": {"sha256": SHA},
        },
        {"filename": "a-3.0.zip", "url": "y", "core-metadata": True, "dist-info-metadata": False, "yanked": "why"},
        {"filename": "../evil", "url": "z"},
        {"filename": "a-4.0.zip", "url": 3},
        "nothing",
    ]
    found = parse_json(json.dumps({"files": files}), AT)
    page = json.loads(render("a", found, lambda file: None if file.filename == "a-2.0.zip" else file.url + "!"))
    assert page == {
        "meta": {"api-version": "1.0"},
        "name": "a",
        "files": [
            {
                "filename": "a-1.0.zip",
                "url": "https://index.example/simple/a/x/a-1.0.zip!",
                "hashes": {"sha256": SHA},
                "size": 7,
                "upload-time": "T",
            },
            {
                "filename": "a-3.0.zip",
                "url": "https://index.example/simple/a/y!",
                "hashes": {},
                "core-metadata": True,
                "yanked": "why",
            },
        ],
    }
    assert found[1].metadata == {"sha256": SHA}
    assert found[1].url == "https://o.example/a"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"files": 1}', "[" * 100_000, '{"files": null}'])
def test_what_is_no_page_is_refused(text) -> None:
    """As an error that says so, not as one of the parser's."""
    with pytest.raises(InvalidError):
        parse_json(text, AT)


@given(st.text())
def test_html_of_any_kind_is_read_to_its_end(text) -> None:
    """Whatever is found there is a file's name."""
    assert all(simple_index.is_filename(file.filename) for file in parse_html(text, AT))


@pytest.mark.parametrize("name", ["", ".", "..", "-a", "a/b", "a%2fb", "ä", "a" * 300, "a\n"])
def test_odd_names_of_projects(name) -> None:
    """They are asked of nobody."""
    with pytest.raises(InvalidError):
        simple_index.normalised(name)


def test_names_have_one_spelling() -> None:
    """PEP 503."""
    assert simple_index.normalised("Foo.._-Bar") == "foo-bar"


# ---- addresses at the door


PATHS = st.text(st.sampled_from("abcXYZ019-._~!$&'()*+,;=:@%/ ä\"<>[]"), max_size=40)


@given(st.sampled_from(["http", "https"]), st.sampled_from(["a.example", "10.0.0.1", "[2001:db8::1]"]), PATHS, PATHS)
def test_addresses_go_there_and_back(scheme, host, path, query) -> None:
    """Host, port, path and query are those of the index' own address; user and password are not there."""
    for port in ("", ":80", ":8443"):
        place = place_of(f"{scheme}://me:secret@{host}{port}/{path}?{query}")
        at_door = file_path(SHA, place)
        assert parse_file_path(at_door) == (SHA, place)
        assert upstream(f"http://127.0.0.1/pypi/files/{at_door}") == place.url
        assert upstream(f"http://127.0.0.1:81/npm/-/files/{at_door}") == place.url
        assert "secret" not in at_door


@pytest.mark.parametrize(
    "url",
    [
        "https://files.example/a.whl",
        "http://127.0.0.1/pypi/simple/a/",
        "http://127.0.0.1.evil.example/pypi/files/-/https/a.example/x",
        "http://127.0.0.1/pypi/files/-/ftp/a.example/x",
        "http://127.0.0.1/pypi/files/-/https/a b/x",
    ],
)
def test_other_addresses_stay(url) -> None:
    """They are nobody's at the door."""
    assert upstream(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x",
        "ftp://a/b",
        "http://",
        "http://a:0/",
        "http://0x7f.1/",
        "http://127.1/",
        "http://[::1%25lo]/",
        "http://[/",
    ],
)
def test_odd_addresses(url) -> None:
    """One parser serves what is judged and what is dialled."""
    with pytest.raises(InvalidError):
        place_of(url)


def test_a_place_is_normalised() -> None:
    """One spelling of a host; the scheme's own port is not written."""
    assert place_of("HTTPS://A.Example.:443/x y#f") == Place(scheme="https", host="a.example", port=443, path="/x%20y")


# ---- npm


def test_a_packument_is_rewritten() -> None:
    """Tarballs lead to the door by the hash that the registry says; all else stays; odd addresses are left out."""
    integrity = "sha1-aaaa sha512-" + "A" * 86 + "=="
    page = {
        "name": "x",
        "dist-tags": {"latest": "1.0.0"},
        "versions": {
            "1.0.0": {"dist": {"tarball": "https://r.example/x/-/x-1.0.0.tgz", "integrity": integrity, "shasum": "s"}},
            "2.0.0": {"dist": {"tarball": "https://r.example/x/-/x-2.0.0.tgz", "integrity": "sha512-short"}},
            "3.0.0": {"dist": {"tarball": "file:///x"}},
            "4.0.0": 7,
        },
    }
    versions = json.loads(npm.rewritten(json.dumps(page), "http://127.0.0.1", lambda _: "5ea1"))["versions"]
    files = "http://127.0.0.1/npm/-/files"
    assert versions["1.0.0"]["dist"]["tarball"] == f"{files}/{'0' * 128}~5ea1/https/r.example/x/-/x-1.0.0.tgz"
    assert versions["1.0.0"]["dist"]["shasum"] == "s"
    assert versions["2.0.0"]["dist"]["tarball"] == f"{files}/-~5ea1/https/r.example/x/-/x-2.0.0.tgz"
    assert versions["3.0.0"]["dist"] == {}


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"versions": []}', "[" * 100_000, '{"versions": {' + "[]," * 1_000_000]
)
def test_what_is_no_packument_is_refused(text) -> None:
    """As an error that says so."""
    with pytest.raises(InvalidError):
        npm.rewritten(text, "http://127.0.0.1", lambda _: "")


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("left-pad", "name"),
        ("@a/b", "name"),
        ("@a/b/-/b-1.0.0.tgz", "file"),
        ("@a/b/-/@a/b-1.0.0.tgz", "file"),
        ("JSONStream/-/JSONStream-1.0.0.tgz", "file"),
        ("download/@a/b/1.0.0/0123abcd", "file"),
        *((odd, "") for odd in ("", "-/v1/search", "-/whoami", "-/npm/v1/tokens", "../x", "a/-/../x.tgz", "a/./b")),
        *((odd, "") for odd in (".a", "a?b", "a//b", "a/", "/a/b", "a b/c", "a/-x", "a/\n", "ä/b", "a/...")),
    ],
)
def test_what_npm_may_ask_for(path, what) -> None:
    """A package's document or a file; nothing of what a registry says about its users."""
    found = "name" if npm.is_name(path) else "file" if npm.is_file(path) else ""
    assert found == what


def test_scopes() -> None:
    """Wherever a registry puts it."""
    assert [npm.scope(path) for path in ("a", "@a/b", "download/@a/b/1.0.0/x")] == ["", "@a", "@a"]
