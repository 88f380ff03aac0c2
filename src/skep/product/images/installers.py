"""What npm's and uv's words mean when an installation fails, in one sentence each. Pure.

They are untrusted, and long: npm prints its whole manual, a build backend the whole of a compiler's output. The log has
all of it; the error has what its reader acts on.
"""

import re
from collections.abc import Sequence

from skep.product.images.model import Failure
from skep.product.images.planning.places import UV

_MOST_NAMED = 5
_LONGEST = 300
_LONGEST_QUOTE = 4000
LOG_HAS_ALL = "The build's log has all that was said."
_NPM_INSTALLS = (("npm", "ci"), ("npm", "install"))
_NPM = "npm error"
_NPM_MISSING = re.compile(r"npm error 404\s+The requested resource '([^']{1,200})'")
_NPM_NO_VERSION = re.compile(r"npm error notarget (No matching version found for \S{1,200})")
_NPM_APART = re.compile(r"npm error ((?:Missing|Invalid): .{1,200})")
#: Said at each failure, and of use to nobody: the file is in a sandbox that is gone.
_NPM_NOISE = "A complete log of this run can be found in"
#: What npm prints around a script: "> name@1.0.0 build" and its command, and words of its own.
_NPM_FRAME = re.compile(r"> |npm (?:error|warn|notice|ERR!|WARN)(?: |$)|npm$")
#: The last is node-gyp's, whose words may leave no room for npm's.
_SCRIPT_FOLDER = re.compile(r"^npm error (?:path|gyp ERR! cwd) (\S{1,300})$", re.MULTILINE)
_SCRIPT_COMMAND = re.compile(r"^npm error command sh -c (.{1,300})$", re.MULTILINE)
#: Of what node-gyp and compilers print, the lines that say why.
_SCRIPT_WHY = re.compile(r"\bERR! (?:stack Error|install )|^gyp: |fatal error: |\berror: |^\w*Error: ")
_MODULES = "/node_modules/"
_SDIST = re.compile(r"Failed to build `([^`]{1,200})`")
#: Of setuptools-scm, on which hatch-vcs stands, too.
_NO_VERSION = "unable to detect version"
_BACKEND = "The build backend returned an error"
#: What a compiler, its absence, or Python itself says last of why.
_WHY = re.compile(
    r"fatal error: |\berror: (?!subprocess|metadata)|No such file or directory|^\w*(?:Error|Exception)\b: ?"
)


def is_own(command: Sequence[str]) -> bool:
    """Tell whether a *command* of a build is the project's own, and none that installs."""
    return command[:1] != (UV,) and tuple(command[:2]) not in _NPM_INSTALLS


def of_npm(words: str) -> Failure | None:
    """Say what printable *words* of npm mean; None if they are not npm's, or mean nothing more than they say."""
    if _NPM not in words:
        return None
    if apart := _NPM_APART.findall(words):
        more = f"; and {len(apart) - _MOST_NAMED} more" if len(apart) > _MOST_NAMED else ""
        return Failure(
            code="lock_invalid",
            message=f"package-lock.json does not match package.json: {'; '.join(apart[:_MOST_NAMED])}{more}.",
            hint="Run `npm install`, commit package-lock.json, and deploy again.",
        )
    if missing := _NPM_MISSING.search(words):
        return Failure(
            code="dependencies_unresolvable",
            message=f"The npm registry has no {missing[1]}.",
            hint="Check its name and version in package.json. Has another registry got it, have the operator set "
            "SKEP_NPM_REGISTRY.",
        )
    if absent := _NPM_NO_VERSION.search(words):
        return Failure(
            code="dependencies_unresolvable",
            message=f"The dependencies cannot be resolved: {absent[1].rstrip('.')}.",
            hint="Change the versions that package.json asks for.",
        )
    return _of_script(words)


def _of_script(words: str) -> Failure | None:
    """Say which script failed while npm installed, and why: a package's, whose words npm repeats, or the project's."""
    folder, command = _SCRIPT_FOLDER.search(words), _SCRIPT_COMMAND.search(words)
    if folder is None or not (command or "gyp ERR!" in words):
        return None
    script = f"script `{command[1]}`" if command else "script"
    if _MODULES not in folder[1]:
        plain = without_npm(words[-_LONGEST_QUOTE:]) or "it printed nothing"
        return _script_failed(f"The project's own {script} failed while npm installed: {plain}", LOG_HAS_ALL)
    package = folder[1].rpartition(_MODULES)[2]
    return _script_failed(
        f"The package {package} could not be installed: its {script} failed: "
        f"{_reasons(words[command.end() if command else 0 :]) or 'it printed nothing'}",
        "Ask for a version that has a binary for this Node, or have the operator install what it is built with. "
        f"{LOG_HAS_ALL}",
    )


def _reasons(words: str) -> str:
    """Return the lines of a script's *words*, as npm repeats them, that say why it failed; else the last ones."""
    lines = [line.removeprefix(_NPM).strip()[:_LONGEST] for line in without_noise(words).splitlines()]
    told = [line for line in dict.fromkeys(lines) if _SCRIPT_WHY.search(line)]
    return "\n".join((told or [line for line in lines if line])[-_MOST_NAMED:])


def _script_failed(message: str, hint: str) -> Failure:
    return Failure(code="install_failed", message=message, hint=hint)


def of_source_build(words: str) -> Failure | None:
    """Say which package could not be built from its source and why, of uv's printable *words*; None if none could."""
    built = _SDIST.search(words)
    if built is None and _BACKEND not in words:
        return None
    if _NO_VERSION in words:
        whose = built[1] if built else "A package"
        return Failure(
            code="install_failed",
            message=f"{whose} takes its version from git's history, which is not in a source.",
            hint='Give it one for that case in pyproject.toml: `fallback_version = "0.0.0"` in [tool.setuptools_scm], '
            'with hatch-vcs `fallback-version = "0.0.0"` in [tool.hatch.version].',
        )
    lines = [line.strip() for line in words[built.end() if built else 0 :].splitlines()]
    reasons = [line for line in lines if _WHY.search(line) and not line.startswith("error: Command '[")]
    why = f": {reasons[-1][:_LONGEST]}" if reasons else ""
    return Failure(
        code="install_failed",
        message=f"{built[1]} has no wheel that fits, and could not be built from its source{why}"
        if built
        else f"A package without a wheel could not be built from its source{why}",
        hint="Ask for a version that has wheels for this Python, or have the operator install the compiler or headers "
        f"that it needs. {LOG_HAS_ALL}",
    )


def without_npm(words: str) -> str:
    """Return *words* without what npm says around those of a script."""
    lines = [line for line in words.splitlines() if not _NPM_FRAME.match(line)]
    return "\n".join(lines).strip()


def without_noise(words: str) -> str:
    """Return *words* without the lines that say nothing, and without the first "error:" that only repeats the code."""
    lines = [line for line in words.splitlines() if _NPM_NOISE not in line and line.strip() != _NPM]
    return "\n".join(lines).strip().removeprefix("error: ")
