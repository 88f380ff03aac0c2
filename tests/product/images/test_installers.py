"""What installers say when they fail becomes a sentence that its reader can act on."""

import pytest

from skep.product.images import failures, installers
from skep.product.images.planning import locks

MANUAL = "npm error\nnpm error Usage:\n" + "npm error   --omit\n" * 400
SDIST = """\
   Building pycrypto==2.6.1
error: Failed to build `pycrypto==2.6.1`
  cause: Call to `setuptools.build_meta:__legacy__.build_wheel` failed (exit status: 1)

         [stdout]
         checking for gcc... gcc
         [stderr]
         src/_fastmath.c:33:10: fatal error: longintrepr.h: No such file or directory
         compilation terminated.
         error: Command '['x86_64-linux-gnu-gcc', '-c']' returned non-zero exit status 1.
"""


def test_a_lock_of_npms_that_does_not_match() -> None:
    """What is apart comes first in what npm says, before its manual: it is found there, and is all that is told."""
    failure = failures.of_install(
        "npm error code EUSAGE\nnpm error `npm ci` can only install ... in sync.\nnpm error\n"
        "npm error Missing: valibot@1.0.0 from lock file\nnpm error Invalid: lock file's a@1.0.0 does not satisfy a@2\n"
        + MANUAL
    )

    assert failure.code == "lock_invalid"
    assert failure.message == (
        "package-lock.json does not match package.json: Missing: valibot@1.0.0 from lock file; "
        "Invalid: lock file's a@1.0.0 does not satisfy a@2."
    )
    assert "npm install" in (failure.hint or "")


def test_a_lock_of_npms_that_matches_nowhere_is_told_in_short() -> None:
    """A hundred packages that are missing are not all named."""
    words = "".join(f"npm error Missing: p{number}@1.0.0 from lock file\n" for number in range(100))

    message = failures.of_install(words).message

    assert "p4@" in message
    assert "p5@" not in message
    assert "and 95 more" in message


def test_a_package_that_the_registry_has_not() -> None:
    """The package is named; that the door's address is no registry's stays inside."""
    failure = failures.of_install(
        "npm error code E404\nnpm error 404 no such thing - GET http://127.0.0.1/npm/x\nnpm error 404\n"
        "npm error 404  The requested resource 'x@1.0.0' could not be found or you do not have permission.\n",
        "Not reached: the index has no such thing.",
    )

    assert failure.code == "dependencies_unresolvable"
    assert failure.message == "The npm registry has no x@1.0.0."
    assert "SKEP_NPM_REGISTRY" in (failure.hint or "")


def test_a_version_that_the_registry_has_not() -> None:
    """A package without the version asked for is a matter of package.json."""
    failure = failures.of_install(
        "npm error code ETARGET\nnpm error notarget No matching version found for marked@999.\n"
    )

    assert failure.code == "dependencies_unresolvable"
    assert failure.message.endswith("No matching version found for marked@999.")


GYP = """\
npm error code 1
npm error path /app/node_modules/@bees/bcrypt
npm error command failed
npm error command sh -c node-pre-gyp || node-gyp rebuild
npm error gyp info it worked if it ends with ok
npm error gyp info using node-gyp@12.4.0
npm error ../src/a.cc:1:10: fatal error: queen.h: No such file or directory
npm error gyp ERR! build error
npm error gyp ERR! stack Error: `make` failed with exit code: 2
npm error gyp ERR! cwd /app/node_modules/@bees/bcrypt
npm error gyp ERR! not ok
npm error A complete log of this run can be found in: /tmp/npm-cache/_logs/x-debug-0.log
"""


def test_a_package_whose_script_fails() -> None:
    """It is named with its script; of what that said, and npm repeats, the errors are told."""
    failure = failures.of_install(GYP)

    assert failure.code == "install_failed"
    assert failure.message == (
        "The package @bees/bcrypt could not be installed: its script `node-pre-gyp || node-gyp rebuild` failed: "
        "../src/a.cc:1:10: fatal error: queen.h: No such file or directory\n"
        "gyp ERR! stack Error: `make` failed with exit code: 2"
    )


def test_a_package_whose_script_says_too_much() -> None:
    """Where npm's own words are lost before it, the last ones of node-gyp name the package."""
    failure = failures.of_install(GYP[GYP.index("npm error gyp info using") :])

    assert failure.message.startswith("The package @bees/bcrypt could not be installed: its script failed: ../src/a.cc")


def test_a_package_whose_script_gives_no_error() -> None:
    """Its last lines are told; silence is, too."""
    framed = (
        "npm error path /app/node_modules/a\nnpm error command sh -c x\n{}npm error A complete log of this run can "
    )
    framed += "be found in: /tmp/x\n"

    assert failures.of_install(framed.format("npm error so it is\n")).message.endswith("`x` failed: so it is")
    assert failures.of_install(framed.format("")).message.endswith("`x` failed: it printed nothing")


def test_a_script_of_the_projects_own_that_npm_runs_as_it_installs() -> None:
    """It is said to be the project's; what it printed is told where it complained of nothing."""
    words = failures.last_words(
        "npm error code 2\nnpm error path /app\nnpm error command failed\nnpm error command sh -c tsc\n",
        "\n> x@1.0.0 prepare\n> tsc\n\nsrc/a.ts(1,1): error TS2304\n",
    )

    failure = failures.of_install(words)

    assert failure.message == ("The project's own script `tsc` failed while npm installed: src/a.ts(1,1): error TS2304")


def test_a_command_of_the_projects_own() -> None:
    """It is named, with the end of what it complained of, else of what it printed."""
    build = ("npm", "run", "build")
    printed = "\n> x@1.0.0 build\n> tsc\n\nsrc/a.ts(1,1): error TS2304\n"

    assert failures.of_own(build, failures.last_words("", printed)).message == (
        "`npm run build` failed: src/a.ts(1,1): error TS2304"
    )
    assert failures.of_own(build, failures.last_words("npm warn x\nit broke\n", printed)).message == (
        "`npm run build` failed: it broke"
    )
    silent = failures.of_own(("make", "x" * 5000), failures.last_words("", ""), "Not to evil:443.")
    assert silent.message.endswith("` failed: it printed nothing")
    assert (len(silent.message) < 300, silent.hint) == (True, "Not to evil:443.")


def test_which_commands_are_the_projects_own() -> None:
    """All but those of uv and of npm that install."""
    assert installers.is_own(("npm", "run", "build"))
    assert installers.is_own(("python", "prepare.py"))
    assert not installers.is_own(("npm", "ci", "--no-audit"))
    assert not installers.is_own(("/opt/skep/bin/uv", "venv"))


def test_a_script_that_fails_is_quoted_without_what_helps_nobody() -> None:
    """What the script said stays; the path of a log in a sandbox that is gone does not."""
    failure = failures.of_install(
        "it is sorry\nnpm error code 3\nnpm error command sh -c exit 3\nnpm error\n"
        "npm error A complete log of this run can be found in: /tmp/npm-cache/_logs/x-debug-0.log\n"
    )

    assert failure.code == "install_failed"
    assert failure.message.endswith("it is sorry\nnpm error code 3\nnpm error command sh -c exit 3")


def test_a_source_distribution_that_does_not_compile() -> None:
    """The package and the compiler's reason are told; the screens around them stay in the log."""
    failure = failures.of_install(SDIST)

    assert failure.code == "install_failed"
    assert failure.message.startswith("pycrypto==2.6.1 has no wheel that fits")
    assert failure.message.endswith("fatal error: longintrepr.h: No such file or directory")
    assert "wheels" in (failure.hint or "")


def test_a_source_distribution_without_a_compiler() -> None:
    """The compiler that is not there is in the message."""
    failure = failures.of_install(
        "error: Failed to build `native==1.0`\n  cause: x\n\n         [stderr]\n"
        "         FileNotFoundError: [Errno 2] No such file or directory: 'cc'\n"
    )

    assert failure.message.endswith("No such file or directory: 'cc'")


@pytest.mark.parametrize("said", ["", "Error getting the version from source `vcs`: "])
def test_a_version_that_only_git_knows(said) -> None:
    """No compiler helps there: what to write is told, for both programs that ask git."""
    failure = failures.of_install(
        "error: Failed to build `zed @ file:///app`\n  cause: The build backend returned an error\n"
        f"         LookupError: {said}setuptools-scm was unable to detect version for /app.\n"
    )

    assert failure.message == "zed @ file:///app takes its version from git's history, which is not in a source."
    assert "fallback_version" in (failure.hint or "")
    assert "fallback-version" in (failure.hint or "")


def test_a_source_that_wanted_the_network_is_told_by_the_door() -> None:
    """What the door refused to a build backend is the reason, whatever the backend makes of it."""
    assert failures.of_install(SDIST, "Not to evil:443.").hint == "Not to evil:443."


def test_a_copy_of_python_that_could_not_be_fetched() -> None:
    """That its place was not reached is told, and what to do about it as well."""
    failure = failures.of_install("error: Failed to install cpython-3.12.16-linux\n", "Not reached: github.com.")

    assert failure.code == "python_unavailable"
    assert (failure.hint or "").startswith("Not reached: github.com. ")
    assert "SKEP_PYTHON_MIRROR" in (failure.hint or "")


def test_a_member_of_a_workspace_without_the_workspace() -> None:
    """Whoever deploys a member by its path is told that its siblings are not there, and what to deploy."""
    failure = locks.failure(
        "error: Failed to parse entry: `b`\n  cause: `b` references a workspace in `tool.uv.sources` (e.g., "
        "`b = { workspace = true }`), but is not a workspace member\n"
    )

    assert failure.code == "dependencies_unresolvable"
    assert "workspace's root" in (failure.hint or "")


def test_a_lock_of_uvs_that_does_not_match_is_told_once() -> None:
    """What uv hints at says what Skep's does: one of them is enough."""
    failure = locks.failure(
        "error: The lockfile at `uv.lock` needs to be updated\n\nhint: To update it, run `uv lock`.\n"
    )

    assert failure.code == "lock_invalid"
    assert failure.message == "uv.lock cannot be used: The lockfile at `uv.lock` needs to be updated"
