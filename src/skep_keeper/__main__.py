"""`python -I -m skep_keeper`: reads its arguments, then serves."""

import argparse
import re
import sys

from skep_keeper import log
from skep_keeper.errors import StartError
from skep_keeper.places import Places
from skep_keeper.start import Options, run

_INSTANCE = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


def options_from(arguments: list[str]) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="skep_keeper", description="Makes sandboxes for one installation of Skep.")
    parser.add_argument("--instance", required=True, help="name of the installation on this machine")
    parser.add_argument("--run-dir", required=True, help="folder for sockets and mounts")
    parser.add_argument("--store-dir", required=True, help="folder for layers and disk images")
    parser.add_argument("--uid", type=int, required=True, help="user of the server, the only one who may ask")
    parser.add_argument("--gid", type=int, required=True, help="group of the server")
    parser.add_argument("--uv", required=True, help="the uv program that sandboxes get")
    parser.add_argument("--ca-file", required=True, help="CA certificates that sandboxes trust")
    parser.add_argument("--supervisor", help="folder of the supervisor's program, if not the installed one")
    parser.add_argument("--disk", choices=("auto", "loop", "tmpfs"), default="auto", help="what holds disk limits")
    read = parser.parse_args(arguments)
    if _INSTANCE.fullmatch(read.instance) is None:
        parser.error("--instance is made of lower-case letters, digits and -")
    return Options(
        places=Places(instance=read.instance, run_dir=read.run_dir, store_dir=read.store_dir),
        uid=read.uid,
        gid=read.gid,
        uv=read.uv,
        ca_file=read.ca_file,
        supervisor=read.supervisor,
        disk=read.disk,
    )


def main() -> int:
    """Run the keeper; return its exit code."""
    try:
        run(options_from(sys.argv[1:]))
    except StartError as error:
        log.error("keeper does not start", reason=str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
