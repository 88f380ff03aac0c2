"""What npm's and uv's words mean when an installation fails, in one sentence each. Pure.

They are untrusted, and long: npm prints its whole manual, a build backend the whole of a compiler's output. The log has
all of it; the error has what its reader acts on.
"""

import re

from skep.product.images.model import Failure

_MOST_NAMED = 5
_LONGEST = 300
_NPM = "npm error"
_NPM_MISSING = re.compile(r"npm error 404\s+The requested resource '([^']{1,200})'")
_NPM_NO_VERSION = re.compile(r"npm error notarget (No matching version found for \S{1,200})")
_NPM_APART = re.compile(r"npm error ((?:Missing|Invalid): .{1,200})")
#: Said at each failure, and of use to nobody: the file is in a sandbox that is gone.
_NPM_NOISE = "A complete log of this run can be found in"
_SDIST = re.compile(r"Failed to build `([^`]{1,200})`")
_BACKEND = "The build backend returned an error"
#: What a compiler, its absence, or Python itself says last of why.
_WHY = re.compile(
    r"fatal error: |\berror: (?!subprocess|metadata)|No such file or directory|^\w*(?:Error|Exception)\b: ?"
)


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
    return None


def of_source_build(words: str) -> Failure | None:
    """Say which package could not be built from its source and why, of uv's printable *words*; None if none could."""
    built = _SDIST.search(words)
    if built is None and _BACKEND not in words:
        return None
    lines = [line.strip() for line in words[built.end() if built else 0 :].splitlines()]
    reasons = [line for line in lines if _WHY.search(line) and not line.startswith("error: Command '[")]
    why = f": {reasons[-1][:_LONGEST]}" if reasons else ""
    return Failure(
        code="install_failed",
        message=f"{built[1]} has no wheel that fits, and could not be built from its source{why}"
        if built
        else f"A package without a wheel could not be built from its source{why}",
        hint="Ask for a version that has wheels for this Python, or have the operator install the compiler or headers "
        "that it needs. The build's log has all that was said.",
    )


def without_noise(words: str) -> str:
    """Return *words* without the lines that say nothing, and without the first "error:" that only repeats the code."""
    lines = [line for line in words.splitlines() if _NPM_NOISE not in line and line.strip() != _NPM]
    return "\n".join(lines).strip().removeprefix("error: ")
