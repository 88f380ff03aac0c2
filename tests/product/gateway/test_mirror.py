"""The door's sites between real sockets: what is asked of them, and what an index is asked for."""

import asyncio
import hashlib
import json
import ssl
from dataclasses import replace

import pytest
from indexes import allowing, indexes, opened

from skep.kernel.indexes import Indexes, with_own
from skep.product.gateway.egress import EgressLimits
from skep.product.gateway.mirror.door_paths import file_path, place_of, upstream
from skep.product.gateway.model import LockedFile, Refusal
from skep.product.gateway.upstream import UpstreamLimits
from skep.testing.certificates import Authority
from skep.testing.package_index import serve_index
from skep.testing.packages import npm_package, wheel
from skep.testing.wait import until

ALPHA = wheel("alpha", "1.0")
BIG = wheel("big", "1.0", {"big.py": b"x = 1\n", "data.bin": bytes(range(256)) * 8192})


@pytest.fixture
def index():
    """An index of two packages."""
    with serve_index() as served:
        served.python += [ALPHA, BIG]
        served.npm += [npm_package("left", "1.2.3"), npm_package("@corp/tool", "2.0.0")]
        yield served


def file_of(page: bytes, package) -> str:
    """Return the address that *page* gives a file."""
    return next(file["url"] for file in json.loads(page)["files"] if file["filename"] == package.filename)


def kept(folder) -> list[str]:
    """List the names of the files that are kept."""
    return sorted(place.name for place in (folder / "packages").glob("sha*/*/*"))


@pytest.mark.parametrize("html", [False, True])
async def test_a_project_and_its_file(index, tmp_path, html) -> None:
    """A page of either kind becomes JSON with addresses at the door; a file comes whole, once, and is kept."""
    index.html = html
    async with opened(tmp_path, indexes(index), allowing(index.host)) as door:
        page = await door.get("/pypi/simple/Alpha/")
        assert page.headers["Content-Type"] == "application/vnd.pypi.simple.v1+json"
        entry = json.loads(page.body)["files"][0]
        assert entry["hashes"] == {"sha256": ALPHA.sha256}
        assert entry["core-metadata"] == {"sha256": hashlib.sha256(ALPHA.metadata).hexdigest()}
        assert upstream(f"http://127.0.0.1{entry['url']}") == f"{index.url}/files/{ALPHA.filename}"
        for _ in range(3):
            assert (await door.get(entry["url"])).body == ALPHA.data
        assert (await door.get(entry["url"] + ".metadata")).body == ALPHA.metadata
    assert index.count(f"/files/{ALPHA.filename}") == 1
    assert kept(tmp_path) == sorted([ALPHA.sha256, hashlib.sha256(ALPHA.metadata).hexdigest()])
    assert all(record.allowed and not record.reason for record in door.records)


async def test_the_first_index_that_knows_a_project_is_the_only_one(index, tmp_path) -> None:
    """A stranger's package of the same name in a later index is never offered; an unknown one is looked for further."""
    with serve_index() as public:
        public.python += [wheel("alpha", "99.0"), wheel("only-public", "1.0")]
        async with opened(tmp_path, indexes(index, public), allowing(index.host, public.host)) as door:
            page = await door.get("/pypi/simple/alpha/")
            assert [file["filename"] for file in json.loads(page.body)["files"]] == [ALPHA.filename]
            assert public.requests == []
            assert (await door.get("/pypi/simple/only-public/")).status == 200
            gone = await door.get("/pypi/simple/nowhere/")
            assert (gone.status, gone.phrase) == (
                404,
                f"no index knows a package nowhere; asked: {index.host}, {public.host}",
            )


async def test_an_index_that_is_down_ends_the_search(index, tmp_path) -> None:
    """What a later index says of a package could be a stranger's: the failure is said, with index and tries."""
    index.failing["/simple/alpha/"] = 100
    with serve_index() as public:
        public.python.append(wheel("alpha", "99.0"))
        async with opened(tmp_path, indexes(index, public), allowing(index.host, public.host)) as door:
            page = await door.get("/pypi/simple/alpha/")
            assert page.status == 502
            assert page.phrase == f"the index {index.host} was tried 4 times in vain: it answered 503"
            assert index.count("/simple/alpha/") == 4
            assert public.requests == []
            assert door.records[-1].reason == page.phrase
            assert (door.records[-1].host, door.records[-1].allowed) == ("127.0.0.1", False)


async def test_what_a_sandbox_makes_up_marks_no_index_as_down(index, tmp_path) -> None:
    """Neither another scheme at its port nor an address that no page named keeps others from asking it."""
    index.failing["/simple/alpha/"] = 4
    async with opened(tmp_path, indexes(index), allowing(index.host)) as door:
        assert (await door.get(f"/pypi/files/-/https/{index.host}/x")).status == 502
        assert (await door.get(f"/pypi/files/-/http/{index.host}/simple/alpha/")).status == 502
        assert index.failing["/simple/alpha/"] == 0
        assert (await door.get("/pypi/simple/alpha/")).status == 200
        assert (await door.get("/npm/left/-/left-9.9.9.tgz")).status == 404
        index.failing["/npm/left/-/left-1.2.3.tgz"] = 4
        assert (await door.get("/npm/left/-/left-1.2.3.tgz")).status == 502
        assert (await door.get("/npm/left/-/left-1.2.3.tgz")).status == 200


async def test_who_waits_too_long_for_an_index_is_told_so(index, tmp_path) -> None:
    """It is not asked for more at once than it is to be, and is not down for that."""
    index.hold(f"/files/{BIG.filename}")
    limits = UpstreamLimits(at_once=1, patience_s=0.0)
    async with opened(tmp_path, indexes(index), allowing(index.host), upstream_limits=limits) as door:
        url = file_of((await door.get("/pypi/simple/big/")).body, BIG)
        asking = asyncio.create_task(door.get(url))
        await until(lambda: index.count(f"/files/{BIG.filename}") == 1)
        told = await door.get("/pypi/simple/alpha/")
        assert (told.status, told.phrase) == (503, f"the index {index.host} is asked for 1 things already; try again")
        index.release()
        assert (await asking).body == BIG.data
        assert (await door.get("/pypi/simple/alpha/")).status == 200


async def test_a_passing_failure_is_not_seen(index, tmp_path) -> None:
    """Pages and files are asked for again after 503, and a file that broke off is taken up where it did."""
    index.failing["/simple/big/"] = 3
    index.breaking[f"/files/{BIG.filename}"] = 2
    async with opened(tmp_path, indexes(index), allowing(index.host)) as door:
        page = await door.get("/pypi/simple/big/")
        assert (await door.get(file_of(page.body, BIG))).body == BIG.data


async def test_a_server_that_nobody_listens_on(tmp_path) -> None:
    """The answer says which one and how often it was tried."""
    named = Indexes(python=("http://127.0.0.1:1/simple",))
    async with opened(tmp_path, named, allowing("127.0.0.1:1")) as door:
        page = await door.get("/pypi/simple/alpha/")
    assert page.status == 502
    assert page.phrase.startswith("the index 127.0.0.1:1 was tried 4 times in vain: ")
    assert page.phrase.lower().endswith("refused") or "connect call failed" in page.phrase.lower()


@pytest.mark.parametrize("package", [ALPHA, BIG])
async def test_a_file_that_is_another_one_never_comes_whole(index, tmp_path, package) -> None:
    """Its connection is cut before its last piece, the record says why, nothing is kept; the right one comes later."""
    place = f"/files/{package.filename}"
    index.tampered[place] = package.data[:-1] + b"!"
    async with opened(tmp_path, indexes(index), allowing(index.host)) as door:
        url = file_of((await door.get(f"/pypi/simple/{package.name}/")).body, package)
        got = await door.get(url)
        assert got.broken
        assert got.body != index.tampered[place]
        await until(lambda: any("another file" in record.reason for record in door.records))
        assert kept(tmp_path) == []
        index.tampered.clear()
        assert (await door.get(url)).body == package.data


async def test_what_a_sandbox_says_decides_nothing_about_what_is_kept(index, tmp_path) -> None:
    """A digest that is not the file's gives nothing; one that is in no list gives a file that is not kept."""
    place = place_of(f"{index.url}/files/{ALPHA.filename}")
    async with opened(tmp_path, indexes(index), allowing(index.host)) as door:
        assert (await door.get(f"/pypi/files/{file_path(BIG.sha256, place)}")).broken
        assert (await door.get(f"/pypi/files/{file_path('', place)}")).body == ALPHA.data
        assert kept(tmp_path) == []
        for odd in ("zz", "a" * 63, "..", "%2e%2e", ALPHA.sha256.upper()):
            assert (await door.get(f"/pypi/files/{odd}/http/{index.host}/files/x")).status == 404


async def test_many_who_want_a_file_at_once_share_one_download(index, tmp_path) -> None:
    """Each gets the whole file, begun before the index has sent it all."""
    place = f"/files/{BIG.filename}"
    index.hold(place)
    async with opened(tmp_path, indexes(index), allowing(index.host)) as door:
        url = file_of((await door.get("/pypi/simple/big/")).body, BIG)
        asking = [asyncio.create_task(door.get(url)) for _ in range(8)]
        await until(lambda: index.count(place) == 1)
        index.release()
        assert {hashlib.sha256(got.body).hexdigest() for got in await asyncio.gather(*asking)} == {BIG.sha256}
    assert index.count(place) == 1


async def test_a_wrong_place_for_a_file_holds_up_nobody_else(index, tmp_path) -> None:
    """Who asks for a hash where something else lies gets nothing; who asks where it lies gets it meanwhile."""
    wrong = f"/files/{ALPHA.filename}"
    index.hold(wrong)
    async with opened(tmp_path, indexes(index), allowing(index.host)) as door:
        url = file_of((await door.get("/pypi/simple/big/")).body, BIG)
        lying = file_path(BIG.sha256, place_of(f"{index.url}{wrong}"))
        hostile = asyncio.create_task(door.get(f"/pypi/files/{lying}"))
        await until(lambda: index.count(wrong) == 1)
        async with asyncio.timeout(20):
            assert (await door.get(url)).body == BIG.data
        index.release()
        assert (await hostile).broken


async def test_a_page_in_a_charset_that_nobody_knows(index, tmp_path) -> None:
    """It is read as UTF-8; a codec that is none of texts is one of those that nobody knows."""
    for charset, status in {"nonsense": 200, "hex": 200, "utf-8": 200, "utf-16": 502}.items():
        index.charset = charset
        async with opened(tmp_path, indexes(index), allowing(index.host)) as door:
            assert (await door.get("/pypi/simple/alpha/")).status == status, charset


async def test_a_torn_file_of_the_cache_is_found_out(index, tmp_path) -> None:
    """What a crash left under a digest is not handed out whole; it is removed and fetched again."""
    torn = tmp_path / "packages" / "sha256" / BIG.sha256[:2] / BIG.sha256
    torn.parent.mkdir(parents=True)
    torn.write_bytes(BIG.data[: len(BIG.data) // 2] + bytes(len(BIG.data) - len(BIG.data) // 2))
    async with opened(tmp_path, indexes(index), allowing(index.host)) as door:
        url = file_of((await door.get("/pypi/simple/big/")).body, BIG)
        assert (await door.get(url)).broken
        assert (await door.get(url)).body == BIG.data
    assert torn.read_bytes() == BIG.data


async def test_without_a_cache_files_are_checked_all_the_same(index, tmp_path) -> None:
    """A limit of 0 keeps nothing."""
    async with opened(tmp_path, indexes(index), allowing(index.host), limit_bytes=0) as door:
        url = file_of((await door.get("/pypi/simple/big/")).body, BIG)
        assert (await door.get(url)).body == BIG.data
        index.tampered[f"/files/{BIG.filename}"] = BIG.data[:-1] + b"!"
        assert (await door.get(url)).broken
    assert kept(tmp_path) == []


async def test_locked_files_and_no_others(index, tmp_path) -> None:
    """The page lists what is locked; nothing else is there, not even what the index has, and no host."""
    locked = LockedFile(filename=ALPHA.filename, url=f"{index.url}/files/{ALPHA.filename}", sha256=ALPHA.sha256)
    async with opened(tmp_path, indexes(index), allowing(index.host)) as door:
        door.hold_locked([locked])
        page = (await door.get("/locked/")).body.decode()
        assert f'href="{ALPHA.filename}#sha256={ALPHA.sha256}"' in page
        assert (await door.get(f"/locked/{ALPHA.filename}")).body == ALPHA.data
        assert (await door.get(f"/locked/{BIG.filename}")).status == 404
        elsewhere = await door.get("/pypi/simple/alpha/")
        assert (elsewhere.status, elsewhere.phrase) == (
            404,
            "/pypi is nothing that this door answers; there is /locked/",
        )


# ---- credentials


def with_login(index, url: str | None = None) -> Indexes:
    """Say that the operator's index is at *url*, with a password."""
    own = (url or index.simple).replace("://", "://me:pa%21ss@")
    return replace(with_own(indexes(index), own, (), None), npm=f"{index.url}/npm")


async def test_credentials_are_added_by_the_door_and_shown_to_nobody(index, tmp_path) -> None:
    """Pages and files come with them; no answer and no record has them, in any form."""
    index.want("me", "pa!ss")
    named = with_login(index)
    async with opened(tmp_path, named, allowing(index.host)) as door:
        page = await door.get("/pypi/simple/alpha/")
        url = file_of(page.body, ALPHA)
        assert (await door.get(url)).body == ALPHA.data
        assert (await door.get("/npm/left")).status == 200
        seen = repr((page, door.records, named))
    assert set(index.shown) == {index.authorization}
    assert not any(secret in seen for secret in ("pa!ss", "pa%21ss", *named.hidden))


@pytest.mark.parametrize("of", ["/pypi/files", "/npm/-/files"])
async def test_credentials_open_only_what_an_index_named(index, tmp_path, of) -> None:
    """A sandbox that makes up an address, or moves a seal to another one, asks for it as nobody."""
    index.want("me", "pa!ss")
    async with opened(tmp_path, with_login(index), allowing(index.host)) as door:
        sealed = file_of((await door.get("/pypi/simple/alpha/")).body, ALPHA).split("/")[3]
        for seal in ("-", f"-~{sealed.partition('~')[2]}", "-~", "-~\u00e4".encode().decode("latin-1")):
            got = await door.get(f"{of}/{seal}/http/{index.host}/simple/alpha/")
            assert got.status in (400, 404, 424), seal
            assert ALPHA.filename.encode() not in got.body
    assert set(index.shown) == {index.authorization}
    assert index.shown == [index.authorization]


async def test_a_lock_opens_only_what_an_index_names(index, tmp_path) -> None:
    """What lies beside the packages is asked for as nobody, whatever a lock calls it; a package is, as the operator."""
    index.want("me", "pa!ss")
    private = index.tampered["/private/notes"] = b"private"
    sha256 = hashlib.sha256(private).hexdigest()
    files = [
        LockedFile(filename=name, url=f"{index.url}/private/notes", sha256=sha256)
        for name in ("alpha-2.0-py3-none-any.whl", "unknown-1.0-py3-none-any.whl", "odd.whl", "..-1.whl")
    ]
    fine = LockedFile(filename=ALPHA.filename, url=f"{index.url}/files/{ALPHA.filename}", sha256=ALPHA.sha256)
    async with opened(tmp_path, with_login(index), allowing(index.host)) as door:
        door.hold_locked([*files, fine])
        for file in files:
            assert (await door.get(f"/locked/{file.filename}")).status in (404, 424), file.filename
        assert index.count("/private/notes") == 2
        assert len(index.shown) == index.count("/simple/alpha/") + index.count("/simple/unknown/") == 2
        assert (await door.get(f"/locked/{fine.filename}")).body == ALPHA.data


async def test_a_lock_is_believed_when_any_index_names_its_file(index, tmp_path) -> None:
    """Whatever others know of the package; one that cannot be asked is told where a password is needed, only there."""
    index.want("me", "pa!ss")
    with serve_index() as public:
        public.python.append(wheel("alpha", "99.0"))
        named = replace(with_login(index), python=(public.simple, index.simple))
        files = [
            LockedFile(filename=package.filename, url=f"{of.url}/files/{package.filename}", sha256=package.sha256)
            for of, package in ((index, ALPHA), (index, BIG), (public, public.python[0]))
        ]
        async with opened(tmp_path, named, allowing(index.host, public.host)) as door:
            door.hold_locked(files)
            assert (await door.get(f"/locked/{ALPHA.filename}")).body == ALPHA.data
            index.failing.update({"/simple/alpha/": 100, "/simple/big/": 100})
            away = await door.get(f"/locked/{BIG.filename}")
            assert (away.status, away.phrase) == (
                502,
                f"the index {index.host} was tried 4 times in vain: it answered 503",
            )
            public.failing["/simple/alpha/"] = 100
            assert (await door.get(f"/locked/{files[2].filename}")).body == public.python[0].data


async def test_a_password_that_is_wrong_is_said_without_it(index, tmp_path) -> None:
    """The answer names the index and where the operator can say another."""
    index.want("me", "another")
    async with opened(tmp_path, with_login(index), allowing(index.host)) as door:
        page = await door.get("/pypi/simple/alpha/")
    assert (page.status, page.phrase) == (424, f"the index {index.host} refused access (401)")
    assert b"operator's settings" in page.body
    assert b"pa" not in page.body.replace(b"package", b"").replace(b"password", b"")
    assert len(index.requests) == 1


async def test_a_redirect_to_another_host_goes_without_credentials(index, tmp_path) -> None:
    """They belong to the index; the other host gets the request, not the password."""
    index.want("me", "pa!ss")
    with serve_index() as other:
        other.python.append(ALPHA)
        index.moved["/simple/alpha/"] = f"{other.url}/simple/alpha/"
        async with opened(tmp_path, with_login(index), allowing(index.host, other.host)) as door:
            assert (await door.get("/pypi/simple/alpha/")).status == 200
    assert index.shown == [index.authorization]
    assert (other.requests, other.shown) == (["/simple/alpha/"], [])


async def test_redirects_are_judged_and_counted(index, tmp_path) -> None:
    """One to a host that is not listed is refused before it is connected to; a circle ends."""
    with serve_index() as other:
        index.moved["/simple/alpha/"] = f"{other.url}/simple/alpha/"
        index.moved["/simple/big/"] = f"{index.url}/simple/big/"
        index.moved["/simple/odd/"] = "file:///etc/passwd"
        async with opened(tmp_path, indexes(index), allowing(index.host)) as door:
            refused = await door.get("/pypi/simple/alpha/")
            circle = await door.get("/pypi/simple/big/")
            odd = await door.get("/pypi/simple/odd/")
            assert door.records[0].refusal is Refusal.UNLISTED
    assert (refused.status, other.requests) == (424, [])
    assert b"Ask the operator." in refused.body
    assert (circle.status, index.count("/simple/big/")) == (502, 6)
    assert (odd.status, odd.phrase) == (502, f"{index.host} redirects to what cannot be fetched")


async def test_addresses_are_judged(index, tmp_path) -> None:
    """A listed name or number that stands for this machine is not dialled unless the operator named it so."""
    listed = replace(allowing(index.host, f"localhost:{index.port}"), private=())
    for host in (index.host, f"localhost:{index.port}"):
        async with opened(tmp_path, Indexes(python=(f"http://{host}/simple",)), listed) as door:
            page = await door.get("/pypi/simple/alpha/")
            assert page.status == 424
            assert "loopback address" in page.phrase
            assert door.records[0].refusal is Refusal.ADDRESS
            for odd in ("0x7f.1", "2130706433", "127.1", "%31%32%37.0.0.1", "[::ffff:127.0.0.1]"):
                path = f"/pypi/files/-/http/{odd}:{index.port}/files/{ALPHA.filename}"
                assert (await door.get(path)).status in (424, 404)
    assert index.requests == []


async def test_tls_is_checked_against_the_operators_authorities(tmp_path) -> None:
    """A certificate that nobody vouches for is a failure that says so; with its authority all is well."""
    authority = Authority(tmp_path / "ca")
    with serve_index(authority.certificate()) as index:
        index.python.append(ALPHA)
        async with opened(tmp_path, indexes(index), allowing(index.host)) as door:
            refused = await door.get("/pypi/simple/alpha/")
        trusted = ssl.create_default_context(cafile=str(authority.bundle))
        async with opened(tmp_path, indexes(index), allowing(index.host), tls=trusted) as door:
            page = await door.get("/pypi/simple/alpha/")
            assert (await door.get(file_of(page.body, ALPHA))).body == ALPHA.data
    assert refused.status == 502
    assert refused.phrase.endswith("its certificate is not one that SKEP_CA_FILE vouches for")


# ---- pages that are held, npm, HTTP


async def test_a_page_is_held_for_as_long_as_its_index_says(index, tmp_path) -> None:
    """With an age nobody asks again; without one it is asked whether the page is still the same."""
    async with opened(tmp_path, indexes(index), allowing(index.host)) as door:
        first = await door.get("/pypi/simple/alpha/")
        index.python.append(wheel("alpha", "1.1"))
        index.cache_control = "max-age=600"
        second, third = await door.get("/pypi/simple/alpha/"), await door.get("/pypi/simple/alpha/")
    assert len(json.loads(first.body)["files"]) == 1
    assert len(json.loads(second.body)["files"]) == 2
    assert third.body == second.body
    assert index.count("/simple/alpha/") == 2


async def test_a_document_is_made_once_whatever_its_clients_call_the_door(index, tmp_path) -> None:
    """The name of the door in a request makes no other document of it."""
    index.cache_control = "max-age=600"
    async with opened(tmp_path, indexes(index), allowing(index.host)) as door:
        bodies = set()
        for host in ("127.0.0.1", "127.0.0.1:1", "127.0.0.1:2", "localhost", "elsewhere.example"):
            reader, writer = await asyncio.open_connection("127.0.0.1", int(door.url.rpartition(":")[2]))
            writer.write(f"GET /npm/left HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            bodies.add((await reader.read()).partition(b"\r\n\r\n")[2])
            writer.close()
    (body,) = bodies
    assert json.loads(body)["versions"]["1.2.3"]["dist"]["tarball"].startswith(f"{door.url}/npm/-/files/")
    assert index.count("/npm/left") == 1


async def test_a_door_answers_a_few_at_once(index, tmp_path) -> None:
    """Who asks for everything at once gets it little by little: what is not yet given takes memory."""
    many = [wheel(f"one{number}", "1.0") for number in range(8)]
    index.python += many
    for package in many:
        index.hold(f"/files/{package.filename}")
    async with opened(tmp_path, indexes(index), allowing(index.host), limits=EgressLimits(answers=3)) as door:
        urls = [file_of((await door.get(f"/pypi/simple/{one.name}/")).body, one) for one in many]
        asking = [asyncio.create_task(door.get(url)) for url in urls]
        await until(lambda: sum(index.count(f"/files/{one.filename}") for one in many) == 3)
        await until(lambda: len(door.proxy._connections) == 8)
        assert sum(index.count(f"/files/{one.filename}") for one in many) == 3
        index.release()
        assert [got.body for got in await asyncio.gather(*asking)] == [one.data for one in many]


async def test_large_pages_are_made_beside_each_other_only_so_far(index, tmp_path) -> None:
    """All of them come, whole; each waits for its turn."""
    large = [wheel(f"large{number}", "1.0") for number in range(5)]
    index.python += large
    index.padding = 3 * 1024 * 1024
    async with opened(tmp_path, indexes(index), allowing(index.host)) as door:
        pages = await asyncio.gather(*(door.get(f"/pypi/simple/{one.name}/") for one in large))
        assert [file_of(page.body, one) for page, one in zip(pages, large, strict=True)]


async def test_a_page_of_html_has_a_lower_limit(index, tmp_path) -> None:
    """What takes longer to be read is refused earlier."""
    index.padding = 17 * 1024 * 1024
    async with opened(tmp_path, indexes(index), allowing(index.host)) as door:
        assert (await door.get("/pypi/simple/alpha/")).status == 200
        index.html = True
        large = await door.get("/pypi/simple/big/")
    assert large.status == 502
    assert large.phrase.startswith(f"the page of {index.host} is larger than ")


async def test_npm_documents_lead_to_the_door(index, tmp_path) -> None:
    """Each version's tarball is at the door, named by its SHA-512, kept; a lock's own path works as well."""
    tool = index.npm[1]
    async with opened(tmp_path, indexes(index), allowing(index.host)) as door:
        for name in ("@corp/tool", "@corp%2ftool"):
            page = json.loads((await door.get(f"/npm/{name}", accept="application/vnd.npm.install-v1+json")).body)
            tarball = page["versions"]["2.0.0"]["dist"]["tarball"]
            assert tarball.startswith(f"{door.url}/npm/-/files/")
            assert upstream(tarball) == f"{index.url}/npm/@corp/tool/-/tool-2.0.0.tgz"
        for path in (tarball.removeprefix(door.url), "/npm/@corp/tool/-/tool-2.0.0.tgz"):
            assert (await door.get(path)).body == tool.data
        assert kept(tmp_path) == [hashlib.sha512(tool.data).hexdigest()]
        assert (await door.get("/npm/nothing")).status == 404
        for odd in ("/npm/-/v1/search?text=x", "/npm/a/../b", "/npm/a/-/../../simple/alpha", "/npm/"):
            assert (await door.get(odd)).status == 404


async def test_only_reading_is_possible(index, tmp_path) -> None:
    """Other methods and bodies are refused; HEAD says that a file is there to be asked for, without a range."""
    async with opened(tmp_path, indexes(index), allowing(index.host)) as door:
        assert (await door.get("/npm/left", method="PUT")).status == 405
        assert (await door.get("/nothing/here")).status == 404
        url = file_of((await door.get("/pypi/simple/alpha/")).body, ALPHA)
        head = await door.get(url, method="HEAD")
        assert (head.status, head.body) == (200, b"")
        assert "Accept-Ranges" not in head.headers


async def test_requests_follow_each_other_on_a_connection(index, tmp_path) -> None:
    """Two requests sent at once are answered one after the other; one with a body ends the connection."""
    async with opened(tmp_path, indexes(index), allowing(index.host)) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(door.url.rpartition(":")[2]))
        get = b"GET /pypi/simple/alpha/ HTTP/1.1\r\nHost: x\r\n\r\n"
        writer.write(get + get + b"GET http://localhost/npm/left HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc" + get)
        async with asyncio.timeout(10):
            answers = await reader.read()
        writer.close()
    assert answers.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert answers.count(b"HTTP/1.1 400 ") == 1
    assert len(door.records) == 3


async def test_a_web_page_may_not_use_the_sites(index, tmp_path) -> None:
    """The door is not for browsers, on which a stranger's page may run."""
    async with opened(tmp_path, indexes(index), allowing(index.host)) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(door.url.rpartition(":")[2]))
        writer.write(b"GET /pypi/simple/alpha/ HTTP/1.1\r\nOrigin: http://evil.example\r\n\r\n")
        async with asyncio.timeout(10):
            assert (await reader.read()).startswith(b"HTTP/1.1 403 ")
        writer.close()
    assert index.requests == []


async def test_the_byte_limit_of_the_door_counts_for_sites(index, tmp_path) -> None:
    """Beyond it the connection is cut, and the record says so."""
    async with opened(tmp_path, indexes(index), allowing(index.host)) as door:
        url = file_of((await door.get("/pypi/simple/big/")).body, BIG)
        door.proxy.renew(allowing(), bytes_down=1000, sites={"pypi": door.mirrors.python()})
        assert (await door.get(url)).broken
        await until(lambda: any(record.over_limit for record in door.records))
