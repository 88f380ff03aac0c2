"""`python -m skep.edge.cli`."""

from skep.edge.cli.main import main

if __name__ == "__main__":
    main()
