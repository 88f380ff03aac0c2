"""A driver that plays the commands of a build; no sandbox is real."""

import json
from dataclasses import replace

from skep.product.images.fetch.listing import ANSWER
from skep.product.images.planning.locks import ANSWER as ANSWER_OF_LOCK
from skep.product.sandboxes.model import Command, Handle
from skep.testing.behaviour import Behaviour, scripted
from skep.testing.clock import ManualClock
from skep.testing.scripted_driver import ScriptedDriver

COMMIT = "c" * 40
#: A wheel that goes into the shared layer, and a source distribution that goes into the private one.
LOCK = """lock-version = "1.0"
created-by = "uv"
requires-python = ">=3.11"

[[packages]]
name = "a"
version = "1.0"
wheels = [{ url = "https://files.example/a-1.0-py3-none-any.whl", hashes = { sha256 = "A" } }]

[[packages]]
name = "b"
version = "2.0"
sdist = { url = "https://files.example/b-2.0.tar.gz", hashes = { sha256 = "B" } }
""".replace("A", "a" * 64).replace("B", "b" * 64)
LISTING = {
    "files": {"main.py": 1, "requirements.txt": 5},
    "texts": {"main.py": "1", "requirements.txt": "a"},
    "hashes": {},
    "digest": "d" * 64,
    "python": "3.11.2",
}


#: What the commands of a build do, by a word of their argv.
USUAL = {
    "rev-parse": Behaviour(stdout=COMMIT + "\n"),
    "checkout-index": Behaviour(files={"/app/main.py": "1"}),
    "list": Behaviour(files={ANSWER: json.dumps(LISTING)}),
    "compile": Behaviour(files={ANSWER_OF_LOCK: LOCK}),
    "venv": Behaviour(files={"/opt/env/pyvenv.cfg": "home"}),
}


class BuildingDriver(ScriptedDriver):
    """Knows the commands of a build; a word of one's argv may be given another behaviour."""

    def __init__(self) -> None:
        super().__init__(ManualClock())
        self.behaviours: dict[str, Behaviour] = {}
        self.ran: list[tuple[str, ...]] = []

    async def exec(self, handle: Handle, command: Command) -> None:
        """Start it as the script of what it would have done."""
        self.ran.append(command.argv)
        await super().exec(handle, replace(command, argv=scripted(self._behaviour(command.argv))))

    def _behaviour(self, argv: tuple[str, ...]) -> Behaviour:
        for word, behaviour in self.behaviours.items():
            if word in argv:
                return behaviour
        return next((behaviour for word, behaviour in USUAL.items() if word in argv), Behaviour())

    def running(self, word: str) -> bool:
        """Tell whether a command with *word* in it was started."""
        return any(word in argv for argv in self.ran)
