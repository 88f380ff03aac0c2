"""Runs inside a build's sandbox, as git's credential helper: hands out the token, to the one host that it is for.

Only the standard library, and nothing of Skep: its text is put into the sandbox. It keeps nothing.

    python3 -I -S git_credential.py FILE SCHEME HOST[:PORT] get
"""

import sys


def asked(lines: str) -> dict[str, str]:
    """Read what git asks for (git-credential(1))."""
    return dict(line.split("=", 1) for line in lines.splitlines() if "=" in line)


def main(file: str, scheme: str, host: str, action: str) -> None:
    """Answer `get` for *scheme* and *host*; say nothing to anything else."""
    wanted = asked(sys.stdin.read())
    if action != "get" or wanted.get("protocol") != scheme or wanted.get("host") != host:
        return
    with open(file, encoding="utf-8") as secret:  # noqa: PTH123  it starts fast
        user, password = secret.read().splitlines()
    sys.stdout.write(f"username={user}\npassword={password}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
