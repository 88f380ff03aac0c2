"""Packages of an attacker, and of those whom it attacks; and how a project depends on them."""

import json

from package_files import npm_package, wheel

OBEDIENT = 'import json, os\nexec(json.load(open(os.environ["SKEP_INPUT"]))["code"])\n'
VICTIM = wheel("victim", "1.0", {"victim/__init__.py": "CLEAN = True\n"}, scripts={"victim": "victim:main"})
VICTIM_NPM = npm_package("victim-npm", "1.0.0", {"index.js": "module.exports = 'clean';\n"}, main="index.js")
#: What stands in for setuptools: it runs setup.py, as setuptools does, and packs what that leaves in `LOOT`.
SETUPTOOLS = r"""
import json, os, zipfile

class Backend:
    def _wheel(self, folder):
        found = {"__file__": "setup.py"}
        exec(compile(open("setup.py").read(), "setup.py", "exec"), found)
        name = "evil-1.0-py3-none-any.whl"
        with zipfile.ZipFile(f"{folder}/{name}", "w") as wheel:
            wheel.writestr("evil.py", "LOOT = " + repr(json.dumps(found["LOOT"])))
            wheel.writestr("evil-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n")
            wheel.writestr("evil-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr("evil-1.0.dist-info/RECORD", "")
        return name

    def build_wheel(self, folder, config_settings=None, metadata_directory=None):
        return self._wheel(folder)

    build_editable = build_wheel

build_wheel = build_editable = Backend().build_wheel
__legacy__ = Backend()
"""
PROJECT = """
[project]
name = "evil"
version = "1.0"
dependencies = ["victim==1.0"]
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
#: What a wheel alone may try.
HOSTILE_WHEELS = (
    wheel("startcode", "1.0", {"evil.pth": "import os; open('/opt/env/ran-in-build', 'w').close()\n"}),
    wheel("climbs", "1.0", {"../../../../../opt/env/climbed.py": "x = 1\n"}),
    wheel("absolute", "1.0", {"/opt/env/absolute.py": "x = 1\n"}),
    wheel("intodata", "1.0", {"intodata-1.0.data/data/../../app/climbed.py": "x = 1\n"}),
    wheel("takesname", "1.0", {"victim/__init__.py": "CLEAN = False\n"}, scripts={"victim": "evil:x"}),
    wheel("takespython", "1.0", {"takespython-1.0.data/scripts/python": "#!/bin/sh\necho evil\n"}),
)


def lock_of_npm(index, files):
    """Return a package-lock.json for *files*."""
    packages = {
        f"node_modules/{file.project}": {
            "version": "1.0.0",
            "resolved": index.tarball_url(file),
            "hasInstallScript": True,
        }
        for file in files
    }
    names = {file.project: "1.0.0" for file in files}
    root = {"name": "app", "version": "1.0.0", "scripts": {"start": "python3 obey.py"}, "dependencies": names}
    lock = {**root, "lockfileVersion": 3, "requires": True, "packages": {"": root, **packages}}
    return {"package.json": json.dumps(root), "package-lock.json": json.dumps(lock)}
