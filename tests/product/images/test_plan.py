"""What a build will do, as a value: layer upon layer, each with its key."""

from dataclasses import replace

import pytest
from plans import (
    BASE,
    BY_HASH,
    DOCOPT,
    INTO,
    MEMBER,
    OTHER,
    PACKAGED,
    SHA,
    UV,
    WHEEL,
    WHEELS,
    kinds,
    only,
    python,
    source,
)

from skep.kernel.errors import InvalidError
from skep.product.images import environment
from skep.product.images.model import Install, LayerKind, SourceListing
from skep.product.images.planning.base import Base
from skep.product.images.planning.locks import Lock
from skep.product.images.planning.planner import plan_build
from skep.product.images.planning.steps import BuildPlan, LayerPlan, Reach


def test_nothing_to_install():
    """The source is the only layer, and the machine's Python runs it."""
    recognised = python(Install.NOTHING)
    made = plan_build(source(main__py=""), recognised, None, BASE, "prj_1")
    app = made.layers[0]
    assert made == BuildPlan(
        recognised=recognised,
        runtimes=("Python 3.11.2 (the machine's)",),
        layers=(LayerPlan(id=app.id, kind=LayerKind.SOURCE, about="1 file", paths=("/app",), writable=True),),
    )


def test_wheels_are_installed_by_hash_where_nothing_of_a_users_is():
    """The whole shared layer: what it is made of, by which commands, and what the door has for them."""
    made = plan_build(source(requirements__txt="humanize"), python(Install.REQUIREMENTS), WHEELS, BASE, "prj_1")
    assert kinds(made) == [LayerKind.SHARED, LayerKind.SOURCE]
    shared = made.layers[0]
    compiling = (
        "import compileall, py_compile; compileall.compile_dir('/opt/env/lib', quiet=2, workers=0, "
        "invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)"
    )
    create = (UV, "venv", "--no-config", "--no-project", "--allow-existing", "--python", "/usr/bin/python3", "/opt/env")
    assert shared == LayerPlan(
        id=shared.id,
        kind=LayerKind.SHARED,
        about="1 package for Python 3.11",
        paths=("/opt/env",),
        steps=(
            create,
            (UV, "pip", "install", "--python", "/opt/env/bin/python", *BY_HASH),
            ("/usr/bin/python3", "-I", "-S", "-c", compiling),
        ),
        words={("/usr/bin/python3", "-I", "-S", "-c", compiling): "Compiling Python files."},
        env=environment.SHARED,
        files={"/tmp/skep-requirements.txt": f"humanize==4.9.0 --hash=sha256:{SHA}\n"},
        reach=Reach.LOCKED,
        locked=(WHEEL,),
        writable=True,
    )
    assert "UV_DEFAULT_INDEX" not in environment.SHARED
    assert made.recognised.path == ("/opt/env/bin",)
    assert (made.shared, made.private) == (1, ())


def test_equal_locks_are_one_layer_for_all_projects():
    """Neither project, nor source, nor where the lock found a file counts; the source's own layer is its project's."""
    elsewhere = replace(WHEELS.wheels[0], file=replace(WHEEL, url="https://mirror.lan/h.whl"))
    one = plan_build(source(requirements__txt="humanize"), python(Install.REQUIREMENTS), WHEELS, BASE, "prj_1")
    two = plan_build(
        source("b" * 64, pyproject__toml=""), python(Install.PYPROJECT), Lock(wheels=(elsewhere,)), BASE, "prj_2"
    )
    assert one.layers[0].id == two.layers[0].id
    assert one.layers[1].id != two.layers[1].id
    same = plan_build(source(requirements__txt="humanize"), python(Install.REQUIREMENTS), WHEELS, BASE, "prj_2")
    assert only(same, LayerKind.SOURCE).id != only(one, LayerKind.SOURCE).id


@pytest.mark.parametrize(
    "base",
    [
        replace(BASE, fingerprint="other"),
        replace(BASE, python="3.11.3"),
        replace(BASE, uv="0.13.9"),
    ],
)
def test_another_base_means_another_environment(base: Base):
    """An upgrade of the machine rebuilds instead of breaking."""
    listing, recognised = source(requirements__txt="humanize"), python(Install.REQUIREMENTS)
    one, two = (plan_build(listing, recognised, WHEELS, each, "prj_1") for each in (BASE, base))
    assert one.layers[0].id != two.layers[0].id


def test_another_content_means_another_layer():
    """The hash is in the key, not only the name."""
    changed = Lock(wheels=(replace(WHEELS.wheels[0], file=replace(WHEEL, sha256=OTHER)),))
    listing, recognised = source(requirements__txt="humanize"), python(Install.REQUIREMENTS)
    one, two = (plan_build(listing, recognised, lock, BASE, "prj_1") for lock in (WHEELS, changed))
    assert one.layers[0].id != two.layers[0].id


def test_what_runs_code_is_private():
    """Source distributions are built by their hashes, the rest as it is; only the difference is kept."""
    lock = replace(WHEELS, sources=(DOCOPT, MEMBER))
    made = plan_build(source(requirements__txt="-e libs/member"), python(Install.REQUIREMENTS), lock, BASE, "prj_1")
    assert kinds(made) == [LayerKind.SHARED, LayerKind.SOURCE, LayerKind.PRIVATE]
    private = made.layers[2]
    assert private == LayerPlan(
        id=private.id,
        kind=LayerKind.PRIVATE,
        about="2 packages",
        paths=("/opt/env", "/app"),
        steps=(
            (*INTO, "--require-hashes", "--requirements", "/tmp/skep-hashed.txt"),
            (*INTO, "--requirements", "/tmp/skep-sources.txt"),
        ),
        env=environment.PRIVATE,
        files={
            "/tmp/skep-hashed.txt": f"docopt==0.6.2 --hash=sha256:{OTHER}\n",
            "/tmp/skep-sources.txt": "-e file:///app/libs/member\n",
        },
        reach=Reach.PYTHON_INDEX,
        writable=True,
        changes=True,
    )
    assert made.private == ("docopt", "member")
    # The same wheels below, whatever is private above.
    plain = plan_build(source(requirements__txt="humanize"), python(Install.REQUIREMENTS), WHEELS, BASE, "prj_2")
    assert made.layers[0].id == plain.layers[0].id


def test_source_distributions_of_an_index_do_not_depend_on_the_source():
    """Changed code is not a reason to build them again; what they may change of /app is not kept."""
    lock = replace(WHEELS, sources=(DOCOPT,))
    recognised = python(Install.REQUIREMENTS)
    one = plan_build(source(requirements__txt="docopt"), recognised, lock, BASE, "prj_1")
    two = plan_build(source("b" * 64, requirements__txt="docopt"), recognised, lock, BASE, "prj_1")
    assert only(one, LayerKind.PRIVATE).id == only(two, LayerKind.PRIVATE).id
    assert only(one, LayerKind.PRIVATE).paths == ("/opt/env",)
    other = plan_build(source(requirements__txt="docopt"), recognised, lock, BASE, "prj_2")
    assert only(other, LayerKind.PRIVATE).id != only(one, LayerKind.PRIVATE).id


def test_a_project_that_is_installed_itself():
    """It is installed in editable form, with nothing else, and depends on its whole source."""
    recognised = python(Install.UV_LOCK)
    made = plan_build(source(pyproject__toml=PACKAGED, uv__lock=""), recognised, WHEELS, BASE, "prj_1")
    private = only(made, LayerKind.PRIVATE)
    assert private.steps == ((*INTO, "--editable", "."),)
    assert private.about == "the project itself"
    assert private.paths == ("/opt/env", "/app")
    changed = plan_build(source("b" * 64, pyproject__toml=PACKAGED, uv__lock=""), recognised, WHEELS, BASE, "prj_1")
    assert only(changed, LayerKind.PRIVATE).id != private.id


def test_what_a_project_prepares_comes_last():
    """Its commands run once all else is there."""
    recognised = python(Install.REQUIREMENTS, prepare=(("python", "fetch.py"),))
    made = plan_build(source(requirements__txt="humanize"), recognised, WHEELS, BASE, "prj_1")
    private = only(made, LayerKind.PRIVATE)
    assert private.steps == (("python", "fetch.py"),)
    assert private.env["PATH"].startswith("/opt/env/bin:")


def test_a_project_without_dependencies_still_gets_an_environment():
    """An empty one is the same for all; the door leads nowhere while it is made."""
    made = plan_build(source(pyproject__toml=PACKAGED), python(Install.PYPROJECT), Lock(), BASE, "prj_1")
    shared = made.layers[0]
    assert shared.about == "no packages for Python 3.11"
    assert (len(shared.steps), shared.reach, shared.locked) == (1, Reach.NOTHING, ())


def test_a_file_that_is_another_than_the_project_pins():
    """Uv's resolver passes over hashes of requirements.txt; they count all the same."""
    recognised = python(Install.REQUIREMENTS)
    good = source(requirements__txt=f"Humanize==4.9.0 \\\n  --hash=sha256:{OTHER} \\\n  --hash=sha256:{SHA}\n")
    plan_build(good, recognised, WHEELS, BASE, "prj_1")
    bad = source(requirements__txt=f"humanize==4.9.0 --hash=sha256:{OTHER}\n")
    with pytest.raises(InvalidError, match=r"humanize 4\.9\.0") as caught:
        plan_build(bad, recognised, WHEELS, BASE, "prj_1")
    assert caught.value.code == "hash_mismatch"


def test_pins_in_files_that_requirements_lead_to_count():
    """Whatever way is written to them; what is said of other files, and of addresses, does not."""
    pin = f"humanize==4.9.0 --hash=sha256:{OTHER}\n"
    for line in ("-r more/base.txt", "-rmore/base.txt", "--requirement=more/base.txt", "-c more/base.txt  # as tried"):
        for more in ({"more/base.txt": pin}, {"more/base.txt": "-r ../pins.txt", "pins.txt": pin}):
            texts = {"requirements.txt": f"{line}\n", **more}
            bad = SourceListing(files=dict.fromkeys(texts, 1), texts=texts, digest="d")
            with pytest.raises(InvalidError) as caught:
                plan_build(bad, python(Install.REQUIREMENTS), WHEELS, BASE, "prj_1")
            assert caught.value.code == "hash_mismatch"
    texts = {
        "requirements.txt": "-r https://example.org/base.txt\n-r ../base.txt\n-r requirements.txt",
        "base.txt": pin,
    }
    good = SourceListing(files=dict.fromkeys(texts, 1), texts=texts, digest="d")
    assert plan_build(good, python(Install.REQUIREMENTS), WHEELS, BASE, "prj_1").shared


def test_many_files_that_are_not_there_cost_what_they_are_long():
    """Two megabytes of includes are looked at line by line, not each against all others."""
    texts = {"requirements.txt": "".join(f"-r {number}\n" for number in range(200_000))}
    listing = SourceListing(files={"requirements.txt": 1}, texts=texts, digest="d")
    assert plan_build(listing, python(Install.REQUIREMENTS), WHEELS, BASE, "prj_1").shared


def test_a_pin_that_cannot_be_checked_is_refused():
    """What would be passed over in silence is said."""
    sha512 = source(requirements__txt=f"humanize==4.9.0 --hash=sha512:{'a' * 128}\n")
    with pytest.raises(InvalidError, match="another hash than SHA-256") as caught:
        plan_build(sha512, python(Install.REQUIREMENTS), WHEELS, BASE, "prj_1")
    assert caught.value.code == "hash_unsupported"


def test_what_a_framework_adds_does_not_loosen_a_lock():
    """Around a lock it is resolved anew, by what the index says of its files now: they must be those of the lock."""
    recognised = python(Install.UV_LOCK, requirements=("other",))
    entry = '[[package]]\nname = "humanize"\nsdist = {{ hash = "sha256:{}" }}\nwheels = [{{ hash = "sha256:{}" }}]\n'
    plan_build(source(uv__lock=entry.format(OTHER, SHA)), recognised, WHEELS, BASE, "prj_1")
    with pytest.raises(InvalidError, match=r"uv\.lock pins humanize 4\.9\.0") as caught:
        plan_build(source(uv__lock=entry.format(OTHER, OTHER)), recognised, WHEELS, BASE, "prj_1")
    assert caught.value.code == "hash_mismatch"
    with pytest.raises(InvalidError) as caught:
        plan_build(source(), recognised, WHEELS, BASE, "prj_1")
    assert caught.value.code == "lock_too_large"


def test_the_same_source_gives_the_same_plan():
    """Keys do not depend on the order of anything."""
    one, two = source(main__py="", requirements__txt="a"), source(requirements__txt="a", main__py="")
    recognised = python(Install.REQUIREMENTS)
    assert plan_build(one, recognised, WHEELS, BASE, "p") == plan_build(two, recognised, WHEELS, BASE, "p")
