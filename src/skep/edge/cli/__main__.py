"""`python -m skep.edge.cli`: the `skep` command, and the entry of the server's process."""

import sys


def main() -> None:
    """Serve, or be the command; neither pays for the other's imports."""
    if sys.argv[1:2] == ["serve"]:
        from skep.edge.cli import serve  # noqa: PLC0415  see above

        serve.main(sys.argv[2:])
    else:
        from skep.edge.cli import main as command  # noqa: PLC0415  see above

        command.main()


if __name__ == "__main__":
    main()
