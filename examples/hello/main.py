"""The plainest agent: it reads what it is asked about, says so, and leaves a result and a file behind."""

import json
import os
import platform
import sys
from pathlib import Path

import humanize


def main() -> None:
    inputs = json.loads(Path(os.environ["SKEP_INPUT"]).read_text())
    topic = str(inputs.get("topic", "bees"))
    print(f"Hello from Python {platform.python_version()}. Today's topic: {topic}.")
    for number, letter in enumerate(topic, start=1):
        print(f"{humanize.ordinal(number)} letter: {letter}")
    print("This line goes to standard error.", file=sys.stderr)

    artifact = Path(os.environ["SKEP_ARTIFACTS"]) / "report.md"
    artifact.write_text(f"# {topic}\n\n{topic} has {humanize.apnumber(len(topic))} letters.\n")
    Path(os.environ["SKEP_OUTPUT"]).write_text(json.dumps({"topic": topic, "letters": len(topic)}))


if __name__ == "__main__":
    main()
