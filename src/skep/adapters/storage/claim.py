"""The claim of a piece of work: one statement, whose cost grows with the lanes, not with the items that wait.

A *lane* is all waiting items that may or may not be claimed alike: same project, kind, machine and keys. The
statement walks from lane to lane on an index (PostgreSQL's "loose index scan"), looks at the oldest due item of
each, drops those whose keys are full, and takes the one whose project holds the fewest leases.
"""

from collections.abc import Sequence

from sqlalchemy import TextClause, column, text
from sqlalchemy.sql.selectable import TextualSelect

from skep.adapters.storage.dialect import Dialect
from skep.adapters.storage.tables import work

_CLAIM = """
WITH RECURSIVE
now(ms) AS (SELECT {now}),
lanes(lane) AS (
  SELECT min(lane) FROM work WHERE state = 'queued'
  UNION ALL
  SELECT (SELECT min(w.lane) FROM work w WHERE w.state = 'queued' AND w.lane > lanes.lane)
  FROM lanes WHERE lanes.lane IS NOT NULL
),
held(project_id, k1, k2, k3) AS MATERIALIZED (
  SELECT project_id, k1, k2, k3 FROM work
  WHERE state = 'leased' AND lease_until_ms > (SELECT ms FROM now)
),
used(k, n) AS (
  SELECT k, count(*) FROM (
    SELECT k1 AS k FROM held UNION ALL SELECT k2 FROM held UNION ALL SELECT k3 FROM held
  ) AS each_key WHERE k <> '' GROUP BY k
),
full_keys(k) AS MATERIALIZED (
  SELECT k FROM used WHERE n >= coalesce(
    (SELECT {value} FROM {each}(:key_limits) AS own WHERE own.key = used.k),
    (SELECT {value} FROM {each}(:default_key_limits) AS own WHERE own.key = {prefix}),
    n + 1)
  UNION
  SELECT own.key FROM {each}(:key_limits) AS own WHERE {value} <= 0
),
heads(id) AS (
  SELECT (
    SELECT w.id FROM work w
    WHERE w.state = 'queued' AND w.lane = lanes.lane AND w.not_before_ms <= (SELECT ms FROM now)
    ORDER BY w.id LIMIT 1)
  FROM lanes WHERE lanes.lane IS NOT NULL
  UNION ALL
  SELECT id FROM work WHERE state = 'leased' AND lease_until_ms <= (SELECT ms FROM now)
)
UPDATE work SET
  state = 'leased', owner = :owner, fence = fence + 1, attempts = attempts + 1,
  lease_until_ms = (SELECT ms FROM now) + :lease_ms
WHERE id = (
  SELECT c.id FROM heads JOIN work c ON c.id = heads.id
  WHERE c.kind IN (SELECT {element} FROM {elements}(:kinds) AS wanted)
    AND c.node_id IN ('', :node_id)
    AND c.k1 NOT IN (SELECT k FROM full_keys)
    AND c.k2 NOT IN (SELECT k FROM full_keys)
    AND c.k3 NOT IN (SELECT k FROM full_keys)
  ORDER BY (SELECT count(*) FROM held WHERE held.project_id = c.project_id), c.id
  LIMIT 1 {lock})
RETURNING {columns}
"""

_WORDS: dict[Dialect, dict[str, str]] = {
    "sqlite": {
        "now": ":now_ms",
        "each": "json_each",
        "value": "own.value",
        "prefix": "substr(used.k, 1, instr(used.k, ':') - 1)",
        "element": "wanted.value",
        "elements": "json_each",
        "lock": "",
    },
    "postgresql": {
        "now": "(extract(epoch from clock_timestamp()) * 1000)::bigint",
        "each": "json_each_text",
        "value": "own.value::bigint",
        "prefix": "split_part(used.k, ':', 1)",
        "element": "wanted.value",
        "elements": "json_array_elements_text",
        # An item that another server is just claiming is passed over, not waited for.
        "lock": "FOR UPDATE OF c SKIP LOCKED",
    },
}


def claim_statement(dialect: Dialect, columns: Sequence[str]) -> TextualSelect:
    """Build the claim, which returns *columns* of the claimed item, or no row."""
    words = _WORDS[dialect]
    statement: TextClause = text(_CLAIM.format(columns=", ".join(columns), **words))
    return statement.columns(*(column(name, work.c[name].type) for name in columns))
