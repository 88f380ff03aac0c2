"""What every driver that seals layers must do, as tests; part of `driver_conformance`."""

import dataclasses

from skep.kernel.errors import ConflictError, NotFoundError
from skep.product.sandboxes.model import Handle, LayerId
from skep.testing.behaviour import Behaviour
from skep.testing.driver_tools import ConformingDriver, DriverTools, NewSpec, read, refused

LOWER, CHANGES, OTHERS = (LayerId(name * 16) for name in ("5eed", "c4a7", "07e5"))


class LayerConformance(DriverTools):
    """The promises of `Sealing`."""

    async def test_a_layer_holds_what_was_sealed(self, driver: ConformingDriver, new_spec: NewSpec) -> None:
        """Folders sealed in one sandbox are there in the next; sealing again changes nothing; unused, it goes."""
        if not (await driver.capabilities()).sealing:
            return
        maker = await driver.create(new_spec())
        await self.run(
            driver, maker, self.command(Behaviour(files={"/app/main.py": "print(1)\n", "/home/agent/not": "x"}))
        )

        size = await driver.seal(maker, ("/app",), LOWER, writable=True)
        again = await driver.seal(maker, ("/app",), LOWER, writable=True)
        user = await driver.create(dataclasses.replace(new_spec(), layers=(LOWER,)))

        assert size == again >= 9
        assert LOWER in await driver.layers()
        assert await read(driver, user, "/app/main.py") == b"print(1)\n"
        with refused(NotFoundError):
            await read(driver, user, "/home/agent/not")
        changed = self.command(Behaviour(files={"/app/main.py": "print(2)\n"}, show=("/app/main.py",)))
        assert (await self.run(driver, user, changed))[1] == "print(2)\n"
        with refused(ConflictError):
            await driver.drop_layer(LOWER)
        await driver.destroy(user)
        await driver.destroy(maker)
        await driver.drop_layer(LOWER)
        await driver.drop_layer(LOWER)
        assert LOWER not in await driver.layers()

    async def test_changes_laid_over_their_layers_show_what_was_seen(
        self, driver: ConformingDriver, new_spec: NewSpec
    ) -> None:
        """Added, changed, removed, replaced, renamed: the layer has no more than that, and the stack shows it all."""
        if not (await driver.capabilities()).sealing:
            return
        names = ("kept", "changed", "removed", "folder/a", "folder/b", "replaced/old", "file", "moved/deep/x", "deep/y")
        before = {f"/app/{name}": f"{name} before" for name in names}
        await self.layer(driver, new_spec, LOWER, Behaviour(files=before))
        made = Behaviour(
            remove=("/app/removed", "/app/folder/a", "/app/replaced", "/app/file"),
            rename={"/app/moved": "/app/deep/away"},
            files={"/app/changed": "now", "/app/added/x": "now", "/app/replaced/new": "now", "/app/file/x": "now"},
        )
        maker = await driver.create(dataclasses.replace(new_spec(), layers=(LOWER,)))
        assert (await self.run(driver, maker, self.command(made)))[0].code == 0
        await driver.seal(maker, ("/app", "/opt/env"), CHANGES, writable=True, changes=True)
        seen = await self.shown(driver, maker)

        user = await driver.create(dataclasses.replace(new_spec(), layers=(LOWER, CHANGES)))
        alone = await driver.create(dataclasses.replace(new_spec(), layers=(CHANGES,)))

        assert await self.shown(driver, user) == seen
        assert seen == {
            "kept": "kept before", "changed": "now", "folder/b": "folder/b before", "replaced/new": "now",
            "file/x": "now", "deep/away/deep/x": "moved/deep/x before", "deep/y": "deep/y before", "added/x": "now",
        }  # fmt: skip
        assert "kept" not in await self.shown(driver, alone)
        again = Behaviour(files={"/app/deep/away/deep/x": "changed", "/app/file/x": "changed", "/app/removed": "new"})
        assert (await self.run(driver, user, self.command(again)))[0].code == 0
        for handle in (user, alone, maker):
            await driver.destroy(handle)
        for layer in (LOWER, CHANGES):
            await driver.drop_layer(layer)

    async def test_no_changes_are_a_layer_too(self, driver: ConformingDriver, new_spec: NewSpec) -> None:
        """A sandbox that changed nothing seals an empty layer, which hides nothing."""
        if not (await driver.capabilities()).sealing:
            return
        await self.layer(driver, new_spec, LOWER, Behaviour(files={"/app/x": "x", "/opt/env/y": "y"}))
        maker = await driver.create(dataclasses.replace(new_spec(), layers=(LOWER,)))

        assert await driver.seal(maker, ("/app", "/opt/env"), OTHERS, writable=False, changes=True) == 0

        user = await driver.create(dataclasses.replace(new_spec(), layers=(LOWER, OTHERS)))
        assert await self.shown(driver, user) == {"x": "x"}
        assert await self.shown(driver, user, "/opt/env") == {"y": "y"}
        for handle in (user, maker):
            await driver.destroy(handle)
        for layer in (LOWER, OTHERS):
            await driver.drop_layer(layer)

    async def layer(self, driver: ConformingDriver, new_spec: NewSpec, layer: LayerId, behaviour: Behaviour) -> None:
        """Seal /app and /opt/env of a new sandbox, after *behaviour*."""
        maker = await driver.create(new_spec())
        await self.run(driver, maker, self.command(behaviour))
        await driver.seal(maker, ("/app", "/opt/env"), layer, writable=True)
        await driver.destroy(maker)

    async def shown(self, driver: ConformingDriver, handle: Handle, folder: str = "/app") -> dict[str, str]:
        """Return the text of each file below *folder*."""
        entries = [entry for entry in await driver.list(handle, folder) if not entry.is_dir]
        return {entry.path: (await read(driver, handle, f"{folder}/{entry.path}")).decode() for entry in entries}
