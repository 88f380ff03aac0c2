"""Agents whose output proves what happened to them."""

import random

#: Prints numbered lines for a while; says on its first line which attempt it is, so that a second execution shows.
COUNTING = """
import json, os, sys, time
from pathlib import Path

inputs = json.loads(Path(os.environ["SKEP_INPUT"]).read_text())
print("execution", os.environ["SKEP_ATTEMPT"], flush=True)
for number in range(inputs["lines"]):
    print("line", number, "x" * inputs.get("width", 20), flush=number % 50 == 0)
    if inputs["seconds"]:
        time.sleep(inputs["seconds"] / inputs["lines"])
print("end", flush=True)
(Path(os.environ["SKEP_ARTIFACTS"]) / "proof.txt").write_text(f"{inputs['key']}\\n" * 1000)
Path(os.environ["SKEP_OUTPUT"]).write_text(json.dumps({"key": inputs["key"], "lines": inputs["lines"]}))
"""

#: Small packages made of one wheel each, so that each build installs another set.
PACKAGES = (
    "humanize",
    "six",
    "idna",
    "certifi",
    "tomli",
    "toolz",
    "sortedcontainers",
    "colorama",
    "iniconfig",
    "pluggy",
)


def counting_agent(name: str, packages: tuple[str, ...] = ()) -> dict[str, object]:
    """Return the body that makes a counting agent with these dependencies."""
    files = {"main.py": COUNTING}
    if packages:
        files["requirements.txt"] = "\n".join(packages) + "\n"
    return {"name": name, "source": {"files": files}}


def inputs_of(key: str, chance: random.Random) -> dict[str, object]:
    """Return inputs of one of three kinds: quick, talkative, slow."""
    kind = chance.choice(("quick", "talkative", "slow"))
    sizes = {"quick": (5, 20, 0.0), "talkative": (60_000, 100, 0.0), "slow": (400, 20, 2.0)}
    lines, width, seconds = sizes[kind]
    return {"key": key, "lines": lines, "width": width, "seconds": seconds}


def expected_stdout(inputs: dict[str, object], attempt: int) -> str:
    """Return exactly what a counting agent prints."""
    body = "".join(f"line {n} {'x' * int(str(inputs['width']))}\n" for n in range(int(str(inputs["lines"]))))
    return f"execution {attempt}\n{body}end\n"
