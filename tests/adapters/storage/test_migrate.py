"""What a start with current tables does not pay for."""

import subprocess
import sys

from alembic.script import ScriptDirectory

from skep.adapters.storage.engine import make_engine
from skep.adapters.storage.migrate import config, head

START = """
import sys
from skep.adapters.storage.engine import make_engine
from skep.adapters.storage.migrate import migrate
migrate(make_engine(sys.argv[1], readonly=False), "sqlite")
sys.exit("alembic" in sys.modules)
"""


def migrated_without_alembic(path):
    """Migrate in a new process; tell whether it did so without importing Alembic."""
    return subprocess.run((sys.executable, "-c", START, path), check=False).returncode == 0


def test_the_newest_migration_is_known_by_its_name(tmp_path):
    """The number in a file's name is its revision, and the highest is Alembic's head."""
    engine = make_engine(tmp_path / "skep.db", readonly=False)
    with engine.connect() as connection:
        assert ScriptDirectory.from_config(config(connection)).get_heads() == [head()]
    engine.dispose()


def test_current_tables_need_no_alembic(tmp_path):
    """It is imported when there is something to migrate, and not at the next start."""
    assert not migrated_without_alembic(tmp_path / "skep.db")
    assert migrated_without_alembic(tmp_path / "skep.db")
