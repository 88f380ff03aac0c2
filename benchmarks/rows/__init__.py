"""All rows, in the order in which they are measured."""

from benchmarks.bench import Row
from benchmarks.rows import commands, database, dependencies, deploy, growth, idle, runs, sandboxes, start, work

ROWS: tuple[Row, ...] = (
    *(*start.ROWS, *sandboxes.ROWS, *commands.ROWS, *idle.ROWS),
    *(*runs.ROWS, *deploy.ROWS, *dependencies.ROWS, *database.ROWS, *work.ROWS, *growth.ROWS),
)
