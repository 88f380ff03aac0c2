"""What a source is: its frameworks are asked in turn, and what it says of itself goes over their answer. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from skep.kernel.errors import InvalidError
from skep.product.images.model import Language, Recognised, SourceListing
from skep.product.images.planning import shell_words
from skep.product.images.ports import Chooses, Framework, Overrides, TakesCommands, TellsWhyNot

_SHOWN_FILES = 20


def recognise(listing: SourceListing, frameworks: Sequence[Framework], command: tuple[str, ...] = ()) -> Recognised:
    """Ask each framework in turn; what the source says of itself goes over that, the owner's *command* over all.

    The first that knows the source wins; a notice names the others that would have fitted as well.

    Raises:
        InvalidError: no framework knows it (`nothing_recognised`), or one knows it to be wrong.
    """
    chosen = next((name for one in frameworks if isinstance(one, Chooses) and (name := one.chosen(listing))), "")
    asked = [one for one in frameworks if not chosen or one.name == chosen or isinstance(one, Overrides)]
    found, winner = _first(listing, asked)
    if found is not None and winner is not None and not chosen:
        found = replace(found, notices=(*_others(listing, winner, frameworks), *found.notices))
    if found is None and command:
        knows = next((one for one in frameworks if isinstance(one, TakesCommands)), None)
        found = None if knows is None else knows.by_command(listing, command)
    for framework in frameworks:
        if isinstance(framework, Overrides):
            found = framework.override(listing, found)
    if found is None:
        raise _nothing(listing, frameworks)
    if command:
        found = replace(found, evidence=(*found.evidence, "command"), command=startable(command, found))
    words = filter(None, map(shell_words.notice, (found.command, *found.prepare)))
    return replace(found, notices=(*found.notices, *words))


def startable(command: tuple[str, ...], found: Recognised) -> tuple[str, ...]:
    """Return *command* with a Python that is there: without an environment the machine's has its long name only."""
    if command[:1] == ("python",) and not (found.installs and found.language is Language.PYTHON):
        return ("python3", *command[1:])
    return command


def _first(listing: SourceListing, frameworks: Sequence[Framework]) -> tuple[Recognised | None, Framework | None]:
    for framework in frameworks:
        if (found := framework.recognise(listing)) is not None:
            return found, framework
    return None, None


def _others(listing: SourceListing, winner: Framework, frameworks: Sequence[Framework]) -> Iterator[str]:
    """Yield the notice that names the frameworks which would have fitted too, but for those that *winner* is one of."""
    over: tuple[str, ...] = getattr(winner, "over", ())
    rest = [one for one in frameworks[list(frameworks).index(winner) + 1 :] if one.name not in (winner.name, *over)]
    # What is a special case of another of the rest says enough.
    fitting = [one for one in rest if _fits(listing, one)]
    covered = {name for one in fitting for name in getattr(one, "over", ())}
    if names := [one.name for one in fitting if one.name not in covered]:
        yield (
            f"recognised as {winner.name}; {' and '.join(names)} would have fitted too: "
            f"choose with `framework: {names[0]}` in skep.yaml"
        )


def _fits(listing: SourceListing, framework: Framework) -> bool:
    try:
        return framework.recognise(listing) is not None
    except InvalidError:
        return False


def _nothing(listing: SourceListing, frameworks: Sequence[Framework]) -> InvalidError:
    looked_for = "".join(f"\n  {framework.name}: {framework.looks_for}" for framework in frameworks)
    names = sorted(listing.files, key=lambda path: (path.count("/"), path))
    found_files = ", ".join(names[:_SHOWN_FILES]) or "none"
    more = f" and {len(names) - _SHOWN_FILES} more" if len(names) > _SHOWN_FILES else ""
    told = (one.why_not(listing) for one in frameworks if isinstance(one, TellsWhyNot))
    why = f": {reasons}" if (reasons := "; ".join(filter(None, told))) else ""
    return InvalidError(
        f"Nothing was recognised{why}. Files found: {found_files}{more}.",
        code="nothing_recognised",
        hint=f"Set `path` if the agent is in a folder of the repository, or give a `command`.\nLooked for:{looked_for}",
    )
