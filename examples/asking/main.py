"""An agent that asks a person before it does something that cannot be undone."""

import platform

import skep


def main() -> None:
    folder = str(skep.inputs().get("folder", "/old"))
    print(f"Python {platform.python_version()}: about to clean {folder}", flush=True)
    answer = skep.ask(f"Delete everything in {folder}?", choices=["yes", "no"])
    print(f"answered: {answer}")
    skep.output({"folder": folder, "deleted": answer == "yes"})


if __name__ == "__main__":
    main()
