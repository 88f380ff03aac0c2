"""What a build will do, as a value. Pure: the same source on the same base always gives the same plan."""

from dataclasses import replace

from skep.kernel.errors import InvalidError
from skep.product.images.fetch.inside import MAX_LOCK_TEXT
from skep.product.images.model import Install, Language, Recognised, SourceListing
from skep.product.images.planning import further_files, layer_plans, locks, manifests, nodes, pinned, pythons, steps
from skep.product.images.planning.base import Base
from skep.product.images.planning.locks import Lock
from skep.product.images.planning.places import ENVIRONMENT, NODE_BIN

#: Files that the plan itself looks into, beside those of the frameworks.
READS = (*manifests.PYTHON_FILES, *manifests.NPM_FILES)


def plan_build(
    listing: SourceListing,
    recognised: Recognised,
    lock: Lock | None,
    base: Base,
    project_id: str,
    *,
    since: str = "",
) -> steps.BuildPlan:
    """Decide which layers the image has, how each is made, and under which keys they are kept.

    Args:
        listing: the source.
        recognised: what a framework made of it.
        lock: all that it depends on; None where `locks.lock_step` had nothing to find out.
        base: what the sandbox stands on.
        project_id: whose the source's and the private layer are; the others hold nothing of a project's.
        since: the build that last asked for the newest packages where no lock says which; "" if none did.

    Raises:
        InvalidError: `project_invalid`; `python_unavailable`, `node_unavailable`: no runtime here fits;
            `hash_mismatch`: a file is another than requirements.txt says.
    """
    if recognised.language is Language.NODE:
        return _plan_node(listing, recognised, base, project_id, since)
    return _plan_python(listing, recognised, lock, base, project_id)


def _plan_python(
    listing: SourceListing, recognised: Recognised, lock: Lock | None, base: Base, project_id: str
) -> steps.BuildPlan:
    interpreter = pythons.choose(listing, recognised, base)
    _check_pins(listing, recognised, lock or Lock())
    below: list[steps.LayerPlan] = []
    if interpreter.runtime is not None:
        below.append(layer_plans.python(interpreter.runtime, base))
    # A copy of Python is found by way of an environment, even of an empty one.
    has_environment = lock is not None or interpreter.runtime is not None
    if has_environment:
        below.append(layer_plans.shared(lock or Lock(), interpreter, base))
    private = _private_python(listing, recognised, lock or Lock(), below, project_id)
    return steps.BuildPlan(
        recognised=replace(recognised, path=(f"{ENVIRONMENT}/bin",) if has_environment else ()),
        runtimes=(", by ".join(filter(None, (str(interpreter), pythons.reason(listing)))),),
        layers=(*below, layer_plans.source(listing, project_id), *private),
        shared=len(lock.wheels) if lock else 0,
        private=tuple(one.name for one in lock.sources) if lock else (),
    )


def _check_pins(listing: SourceListing, recognised: Recognised, lock: Lock) -> None:
    """Raise `InvalidError` if a file is another than the project says: uv resolves anew, and asks the index alone."""
    files = pinned.reached(listing.texts, further_files.lists(recognised))
    pinned.check(pinned.of_requirements(files), lock, by=next(iter(files), "requirements.txt"))
    added = recognised.requirements or recognised.requirement_files
    if recognised.install is Install.UV_LOCK and added:
        if "uv.lock" not in listing.texts:
            raise InvalidError(
                f"uv.lock is larger than {MAX_LOCK_TEXT >> 20} MiB: what is added to it cannot be checked against it.",
                code="lock_too_large",
                hint="Put what the framework adds among the project's own dependencies, and run `uv lock`.",
            )
        pinned.check(pinned.of_uv_lock(locks.uv_lock(listing)), lock, by="uv.lock")


def _private_python(
    listing: SourceListing,
    recognised: Recognised,
    lock: Lock,
    below: list[steps.LayerPlan],
    project_id: str,
) -> tuple[steps.LayerPlan, ...]:
    packaged = manifests.is_packaged(recognised.install, manifests.pyproject(listing))
    if not (lock.sources or packaged or recognised.prepare):
        return ()
    # What an index has by its hash is the same whatever the source says; all else may read any file of it.
    whole = packaged or bool(recognised.prepare) or not all(one.hashed for one in lock.sources)
    facts = {
        "project": project_id,
        "below": [layer.id for layer in below],
        "source": listing.digest if whole else "",
    }
    return (layer_plans.private_python(lock, recognised.prepare, facts, packaged=packaged, whole=whole),)


def _plan_node(
    listing: SourceListing, recognised: Recognised, base: Base, project_id: str, since: str
) -> steps.BuildPlan:
    runtime, notices = nodes.choose(recognised, base)
    below = [layer_plans.node(runtime, base)]
    return steps.BuildPlan(
        recognised=replace(recognised, path=(NODE_BIN,), notices=(*recognised.notices, *notices)),
        runtimes=(f"Node {runtime.version} ({runtime.origin})",),
        layers=(
            *(*below, layer_plans.source(listing, project_id)),
            *_private_npm(listing, recognised, below, project_id, since),
        ),
    )


def _private_npm(
    listing: SourceListing, recognised: Recognised, below: list[steps.LayerPlan], project_id: str, since: str
) -> tuple[steps.LayerPlan, ...]:
    install = {Install.NPM_LOCK: "ci", Install.NPM: "install"}.get(recognised.install, "")
    if not (install or recognised.prepare):
        return ()
    whole = bool(recognised.prepare) or manifests.npm_leads_elsewhere(listing)
    facts = {
        "project": project_id,
        "below": [layer.id for layer in below],
        "files": manifests.hashes(listing, manifests.NPM_FILES),
        "source": listing.digest if whole else "",
        "since": since,
    }
    # Without a lock every address comes from the door itself, or is meant as it stands.
    host = manifests.npm_registrys_host(listing) if install == "ci" else "never"
    return (layer_plans.private_npm(recognised.prepare, facts, install=install, registrys_host=host),)
