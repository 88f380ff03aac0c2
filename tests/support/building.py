"""A driver that plays the commands of a build; no sandbox is real."""

import json
from dataclasses import replace

from skep.product.images.listing import ANSWER
from skep.product.sandboxes.model import Command, Handle
from skep.testing.behaviour import Behaviour, scripted
from skep.testing.clock import ManualClock
from skep.testing.scripted_driver import ScriptedDriver

COMMIT = "c" * 40
LISTING = {
    "files": {"main.py": 1, "requirements.txt": 5},
    "texts": {"main.py": "1", "requirements.txt": "a"},
    "hashes": {},
    "digest": "d" * 64,
    "python": "3.11.2",
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
        if "rev-parse" in argv:
            return Behaviour(stdout=COMMIT + "\n")
        if "checkout-index" in argv:
            return Behaviour(files={"/app/main.py": "1"})
        if "list" in argv:
            return Behaviour(files={ANSWER: json.dumps(LISTING)})
        if "venv" in argv:
            return Behaviour(files={"/opt/env/pyvenv.cfg": ""})
        return Behaviour()

    def running(self, word: str) -> bool:
        """Tell whether a command with *word* in it was started."""
        return any(word in argv for argv in self.ran)
