"""`skep.yaml` as a framework: it recognises nothing by itself, and overrides what the others recognise."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from skep.kernel.errors import InvalidError
from skep.library.frameworks import node, package_json, pyproject
from skep.library.frameworks.dockerfile import Dockerfile
from skep.library.frameworks.marked_yaml import YamlError, wrong
from skep.library.frameworks.skep_yaml.keys import KEYS
from skep.library.frameworks.skep_yaml.parse import FILE, invalid, parse
from skep.library.frameworks.skep_yaml.said import Runtime, Said, nearest
from skep.product.agents.machine import check_config
from skep.product.agents.model import AgentLimits
from skep.product.images.model import Language, Recognised, SourceListing
from skep.product.images.planning.recognising import startable

#: What people call the file instead.
_MISNAMED = ("skep.yml", ".skep.yaml", ".skep.yml")
_NODE_PROGRAMS = ("node", "npm", "npx")


class SkepYaml:
    """Says nothing of its own: overrides what the frameworks recognise; its `command` may stand alone."""

    name = FILE
    order = 0
    reads: tuple[str, ...] = (FILE, *pyproject.READS, *package_json.READS)
    looks_for = f"a {FILE} with a `command`"

    def __init__(self, limits: AgentLimits, frameworks: Mapping[str, str] | None = None) -> None:
        """Take what the file may ask for, and name -> `looks_for` of the frameworks that it may choose."""
        self._limits = limits
        self._frameworks = frameworks or {}

    def recognise(self, listing: SourceListing) -> Recognised | None:
        """Refuse a wrong file before anything else is asked; say nothing of a good one yet."""
        self._read(listing)
        return None

    def chosen(self, listing: SourceListing) -> str:
        """Return the framework that the file chooses; "" if it does not."""
        said = self._read(listing)
        return "" if said is None else said.framework

    def by_command(self, listing: SourceListing, command: tuple[str, ...]) -> Recognised:
        """Return what the source needs that only its owner's *command* makes an agent.

        Raises:
            InvalidError: `skep_yaml_invalid`, `project_invalid`, `lock_unsupported`.
        """
        return _by_command(listing, self._read(listing) or Said(), command)

    def override(self, listing: SourceListing, found: Recognised | None) -> Recognised | None:
        """Return *found* with what the file says over it; its command alone is enough without one.

        Raises:
            InvalidError: `skep_yaml_invalid`, with line and column.
        """
        said = self._read(listing)
        if said is None or not said.keys:
            return _misnamed(listing, found) if said is None else found
        try:
            return self._override(listing, found, said)
        except YamlError as error:
            raise invalid(error) from error

    def _override(self, listing: SourceListing, found: Recognised | None, said: Said) -> Recognised | None:
        config = said.config
        if found is None and not config.command:
            if said.framework and said.framework != Dockerfile.name:
                expected = self._frameworks[said.framework]
                raise wrong(said.places["framework"], f"the source is no {said.framework}; that is {expected}")
            return None
        found = found or _by_command(listing, said, config.command)
        return replace(
            found,
            evidence=(*found.evidence, f"{FILE}: {', '.join(said.keys)}"),
            command=startable(config.command, found) or found.command,
            inputs_schema=found.inputs_schema if config.inputs_schema is None else config.inputs_schema,
            env={**found.env, **config.env},
            secrets=config.secrets or found.secrets,
            resources=config.resources if "resources" in said.keys else found.resources,
            prepare=found.prepare if said.prepare is None else tuple(startable(one, found) for one in said.prepare),
            declared=said.declared,
            notices=(*found.notices, *_later(said.keys)),
            **_versions(said, found),
        )

    def _read(self, listing: SourceListing) -> Said | None:
        if FILE not in listing.files:
            return None
        text = listing.texts.get(FILE)
        if text is None:
            raise invalid(YamlError("too large, or no regular file"))
        try:
            said = parse(text)
            self._check(said)
        except YamlError as error:
            raise invalid(error) from error
        return said

    def _check(self, said: Said) -> None:
        """Hold the file to what holds for its owner's configuration too, and to the frameworks that there are."""
        try:
            check_config(said.config, self._limits)
        except InvalidError as error:
            for name, why in error.fields.items():
                if (place := said.places.get(name)) is not None:
                    raise wrong(place, f"`{name}` {why}") from error
            raise YamlError(error.message) from error
        if said.framework and said.framework not in self._frameworks:
            near = nearest(said.framework, self._frameworks)
            meant = f"did you mean {near}?" if near else f"expected one of {', '.join(self._frameworks)}"
            raise wrong(said.places["framework"], f"there is no framework {said.framework[:80]!r}; {meant}")


def _misnamed(listing: SourceListing, found: Recognised | None) -> Recognised | None:
    """Return *found* with the notice on a file that nearly has the right name; without *found* it is what is wrong."""
    other = next((file for file in _MISNAMED if file in listing.files), None)
    if other is None:
        return found
    words = f"{other} is not read: the file is named {FILE}"
    if found is None:
        raise InvalidError(f"Nothing was recognised. {words}.", code="nothing_recognised", hint=f"Rename it to {FILE}.")
    return replace(found, notices=(*found.notices, words))


def declared_name(text: str) -> str:
    """Return the name that the text of a `skep.yaml` gives; "" if it gives none.

    Raises:
        InvalidError: `skep_yaml_invalid`, with line and column.
    """
    try:
        return parse(text).declared.name
    except YamlError as error:
        raise invalid(error) from error


def _versions(said: Said, found: Recognised) -> Mapping[str, str]:
    runtime = said.runtime
    if runtime is None:
        return {}
    if runtime.language is not found.language:
        why = f"`runtime` is {runtime.language.value}, but what was recognised ({found.framework}) is run by"
        raise wrong(
            said.places["runtime"], f"{why} {found.language.value}; choose another `framework`, or leave it out"
        )
    if not runtime.version:
        return {}
    return _requires(runtime)


def _requires(runtime: Runtime) -> Mapping[str, str]:
    if runtime.language is Language.NODE:
        return {"requires_node": runtime.version}
    exact = runtime.version.count(".") == 2
    return {"requires_python": f"=={runtime.version}{'' if exact else '.*'}"}


def _later(keys: Sequence[str]) -> Iterator[str]:
    return (f"`{key}` of {FILE} is recorded, but {KEYS[key].later}" for key in keys if KEYS[key].later)


def _by_command(listing: SourceListing, said: Said, command: tuple[str, ...]) -> Recognised:
    """Return what is known of a source that only a *command* makes an agent: its file's own, or its owner's."""
    if _language(said, command) is Language.NODE:
        install, requires_node = node.installation(listing)
        evidence = (package_json.FILE,) if package_json.FILE in listing.files else ()
        return Recognised(
            framework=said.framework or "command",
            evidence=evidence,
            command=(),
            install=install,
            language=Language.NODE,
            requires_node=requires_node,
        )
    project = pyproject.read(listing)
    pyproject.check(listing, project)
    return Recognised(
        framework=said.framework or "command",
        evidence=project.decided_by,
        command=(),
        requires_python=project.requires_python,
        install=project.install,
        requirement_files=project.requirement_files,
        notices=project.notices,
    )


def _language(said: Said, command: tuple[str, ...]) -> Language:
    if said.runtime is not None:
        return said.runtime.language
    by_node = said.framework == "node" or command[:1] in {(one,) for one in _NODE_PROGRAMS}
    return Language.NODE if by_node else Language.PYTHON
