"""The plan of mounts: what is covered, what is put back."""

from skep.edge.cli.launch.view import Bind, Entry, Kind, Need, View, plan


def world(**closed_or_links: object):
    """A file system by exceptions: `path=False` is a closed folder, `path="target"` a link, `path=None` is missing."""
    entries = dict(closed_or_links)

    def look(path: str) -> Entry:
        match entries.get(path, True):
            case str(target):
                return Entry(kind=Kind.LINK, target=target)
            case None:
                return Entry(kind=Kind.MISSING)
            case "file":
                return Entry(kind=Kind.FILE)
            case state:
                return Entry(kind=Kind.FOLDER, open=bool(state))

    return look


def test_nothing_is_mounted_where_everything_is_open():
    """An ordinary installation needs no mount namespace."""
    assert plan([Need("/opt/skep/src"), Need("/usr")], world()) == View()


def test_closed_folder_is_covered_and_only_the_needs_are_put_back():
    """Of `/root` the server sees the interpreter and nothing else."""
    look = world(**{"/root": False})
    view = plan([Need("/root/.pyenv/versions/3.11"), Need("/srv/src")], look)
    assert view == View(
        covers=("/root",),
        folders=("/root/.pyenv", "/root/.pyenv/versions"),
        binds=(Bind("/root/.pyenv/versions/3.11", Kind.FOLDER, writable=False),),
    )


def test_only_the_outermost_closed_folder_is_covered():
    """What lies in a cover is made new, open."""
    look = world(**{"/tmp/a": False, "/tmp/a/b": False})
    view = plan([Need("/tmp/a/b/src"), Need("/tmp/a/data", writable=True)], look)
    assert view.covers == ("/tmp/a",)
    assert view.folders == ("/tmp/a/b",)
    assert view.binds == (
        Bind("/tmp/a/b/src", Kind.FOLDER, writable=False),
        Bind("/tmp/a/data", Kind.FOLDER, writable=True),
    )


def test_links_inside_a_cover_are_made_again():
    """An interpreter that is reached by a link in a closed home is reached by it afterwards."""
    look = world(**{"/root": False, "/root/py": "versions/3.11", "/venv/python": "/root/py/bin"})
    view = plan([Need("/venv/python")], look)
    assert view.links == (("/root/py", "versions/3.11"),)
    assert view.folders == ("/root/versions", "/root/versions/3.11")
    assert view.binds == (Bind("/root/versions/3.11/bin", Kind.FOLDER, writable=False),)


def test_a_link_outside_leads_into_the_cover():
    """A need is bound where it really is."""
    look = world(**{"/root": False, "/opt/skep": "/root/skep"})
    view = plan([Need("/opt/skep/src")], look)
    assert view.binds == (Bind("/root/skep/src", Kind.FOLDER, writable=False),)


def test_needs_inside_needs_are_mounted_once():
    """A folder inside one that is put back is there already."""
    view = plan([Need("/root/c"), Need("/root/c/src")], world(**{"/root": False}))
    assert [bind.path for bind in view.binds] == ["/root/c"]


def test_what_is_written_stays_writable_inside_what_is_not():
    """A data folder inside a read-only checkout gets a mount of its own, after the outer one."""
    view = plan([Need("/root/c"), Need("/root/c/data", writable=True)], world(**{"/root": False}))
    assert view.binds == (
        Bind("/root/c", Kind.FOLDER, writable=False),
        Bind("/root/c/data", Kind.FOLDER, writable=True),
    )


def test_what_is_closed_itself_is_named():
    """No mount opens a folder that is closed itself; the operator has to."""
    view = plan([Need("/srv/src")], world(**{"/srv/src": False}))
    assert view.closed == ("/srv/src",)
    assert view.covers == ()


def test_a_missing_need_is_named():
    """A path that is not there is out of reach."""
    assert plan([Need("/gone")], world(**{"/gone": None})).closed == ("/gone",)


def test_links_in_a_circle_end():
    """A circle of links counts as missing."""
    assert plan([Need("/a")], world(**{"/a": "/b", "/b": "/a"})).closed == ("/a",)
