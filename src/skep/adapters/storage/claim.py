"""The claim of work: one statement, whose cost grows with the lanes, not with the items that wait.

A *lane* is all waiting items that may or may not be claimed alike: same project, kind, machine and keys. The
statement walks from lane to lane on an index (PostgreSQL's "loose index scan"), looks at the oldest due item of each,
and drops the lanes whose keys are full. Who is among the next of a project stands in one of the lanes that have its
oldest items: of these it looks at more. They take their places as if they were claimed one after the other, each time
from the project that then holds the fewest leases. Before the first for whom a key would be overdrawn the
claim ends: who comes after him is a matter for the next claim, in which that key counts as full.

What rests stands beside this: it holds no key, no limit keeps it back, and it counts for nobody's turn.
"""

from collections.abc import Sequence

from sqlalchemy import TextClause, column, text
from sqlalchemy.sql.selectable import TextualSelect

from skep.adapters.storage.dialect import Dialect
from skep.adapters.storage.tables import RESTING, work

_CLAIM = """
WITH RECURSIVE
{clock}lanes(lane) AS (
  SELECT min(lane) FROM work WHERE state = 'queued' AND NOT :only_resting
  UNION ALL
  SELECT (SELECT min(w.lane) FROM work w WHERE w.state = 'queued' AND w.lane > lanes.lane)
  FROM lanes WHERE lanes.lane IS NOT NULL
),
held(project_id, k1, k2, k3) AS MATERIALIZED (
  SELECT project_id, k1, k2, k3 FROM work
  WHERE state = 'leased' AND lease_until_ms > {now} AND NOT resting
),
used(k, n) AS MATERIALIZED (
  SELECT k, count(*) FROM (
    SELECT k1 AS k FROM held UNION ALL SELECT k2 FROM held UNION ALL SELECT k3 FROM held
  ) AS each_key WHERE k <> '' GROUP BY k
),
full_keys(k) AS MATERIALIZED (
  SELECT k FROM used WHERE n >= coalesce({limit_of_key}, n + 1)
  UNION
  SELECT own.key FROM {each}(:key_limits) AS own WHERE {value} <= 0
),
heads AS (
  {heads_of_lanes}
),
first_lanes(lane) AS MATERIALIZED (
  SELECT lane FROM (
    SELECT c.lane, row_number() OVER (PARTITION BY c.project_id ORDER BY c.id) AS nth FROM heads c WHERE {claimable}
  ) AS own WHERE nth <= :most
),
waiting AS (
  {items_of_lanes}
  UNION ALL
  SELECT id, project_id, kind, node_id, k1, k2, k3, resting FROM work
  WHERE state = 'leased' AND lease_until_ms <= {now} AND NOT resting AND NOT :only_resting
  UNION ALL
  SELECT id, project_id, kind, node_id, '', '', '', resting FROM work
  WHERE {resting} AND (state = 'queued' AND not_before_ms <= {now} OR state = 'leased' AND lease_until_ms <= {now})
),
of_projects AS (
  SELECT c.id, c.project_id, c.k1, c.k2, c.k3, row_number() OVER (PARTITION BY c.project_id ORDER BY c.id) AS nth,
    count(*) FILTER (WHERE NOT c.resting)
      OVER (PARTITION BY c.project_id ORDER BY c.id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS ahead
  FROM waiting c WHERE {claimable}
),
turns AS (
  SELECT p.id, p.k1, p.k2, p.k3, p.ahead + (SELECT count(*) FROM held WHERE held.project_id = p.project_id) AS turn
  FROM of_projects p WHERE p.nth <= :most
),
places AS MATERIALIZED (
  SELECT id, k1, k2, k3, row_number() OVER (ORDER BY turn, id) AS place FROM turns ORDER BY turn, id LIMIT :most
),
overdrawn(place) AS (
  SELECT place FROM (
    SELECT place, k, coalesce((SELECT n FROM used WHERE used.k = wants.k), 0) AS n,
      rank() OVER (PARTITION BY k ORDER BY place) AS nth
    FROM (
      SELECT place, k1 AS k FROM places UNION ALL SELECT place, k2 FROM places UNION ALL SELECT place, k3 FROM places
    ) AS wants
    WHERE k <> ''
  ) AS used WHERE nth > 1 AND n + nth > {limit_of_key}
),
chosen AS {materialized}(
  {lock_open}SELECT id FROM places WHERE place < coalesce((SELECT min(place) FROM overdrawn), :most + 1){lock_close}
)
UPDATE work SET
  state = 'leased', owner = :owner, fence = fence + 1, attempts = attempts + 1,
  lease_until_ms = {now} + :lease_ms
WHERE id IN (SELECT id FROM chosen)
RETURNING {columns}
"""

_LIMIT_OF_KEY = """coalesce(
    (SELECT {value} FROM {each}(:key_limits) AS own WHERE own.key = used.k),
    (SELECT {value} FROM {each}(:default_key_limits) AS own WHERE own.key = {prefix}))"""

_CLAIMABLE = """c.kind IN (SELECT wanted.value FROM {elements}(:kinds) AS wanted)
    AND c.node_id IN ('', :node_id)
    AND NOT EXISTS (SELECT 1 FROM full_keys WHERE k IN (c.k1, c.k2, c.k3))"""

_WORDS: dict[Dialect, dict[str, str]] = {
    "sqlite": {
        "clock": "",
        "now": ":now_ms",
        "each": "json_each",
        "elements": "json_each",
        "value": "own.value",
        "prefix": "substr(used.k, 1, instr(used.k, ':') - 1)",
        "heads_of_lanes": """SELECT w.lane, w.id, w.project_id, w.kind, w.node_id, w.k1, w.k2, w.k3
  FROM lanes JOIN work w ON w.id = (
    SELECT w.id FROM work w WHERE w.state = 'queued' AND w.lane = lanes.lane AND w.not_before_ms <= :now_ms
      AND NOT w.resting
    ORDER BY w.id LIMIT 1)""",
        "items_of_lanes": """SELECT w.id, w.project_id, w.kind, w.node_id, w.k1, w.k2, w.k3, w.resting
  FROM first_lanes JOIN work w ON w.id IN (
    SELECT w.id FROM work w WHERE w.state = 'queued' AND w.lane = first_lanes.lane AND w.not_before_ms <= :now_ms
      AND NOT w.resting
    ORDER BY w.id LIMIT :most)""",
        "materialized": "",
        "lock_open": "",
        "lock_close": "",
    },
    "postgresql": {
        "clock": "now(ms) AS (SELECT (extract(epoch from clock_timestamp()) * 1000)::bigint),\n",
        "now": "(SELECT ms FROM now)",
        "each": "json_each_text",
        "elements": "json_array_elements_text",
        "value": "own.value::bigint",
        "prefix": "split_part(used.k, ':', 1)",
        "heads_of_lanes": """SELECT head.* FROM lanes CROSS JOIN LATERAL (
    SELECT w.lane, w.id, w.project_id, w.kind, w.node_id, w.k1, w.k2, w.k3 FROM work w
    WHERE w.state = 'queued' AND w.lane = lanes.lane AND w.not_before_ms <= (SELECT ms FROM now)
      AND NOT w.resting
    ORDER BY w.id LIMIT 1) AS head""",
        "items_of_lanes": """SELECT item.* FROM first_lanes CROSS JOIN LATERAL (
    SELECT w.id, w.project_id, w.kind, w.node_id, w.k1, w.k2, w.k3, w.resting FROM work w
    WHERE w.state = 'queued' AND w.lane = first_lanes.lane AND w.not_before_ms <= (SELECT ms FROM now)
      AND NOT w.resting
    ORDER BY w.id LIMIT :most) AS item""",
        "materialized": "MATERIALIZED ",
        # An item that another server is just claiming is passed over, not waited for.
        "lock_open": "SELECT id FROM work WHERE id IN (\n    ",
        "lock_close": ") FOR UPDATE SKIP LOCKED",
    },
}


def claim_statement(dialect: Dialect, columns: Sequence[str]) -> TextualSelect:
    """Build the claim, which returns *columns* of the claimed items, at most `:most`, in no order."""
    words = _WORDS[dialect]
    shared = {
        "resting": RESTING,
        "limit_of_key": _LIMIT_OF_KEY.format(**words),
        "claimable": _CLAIMABLE.format(**words),
    }
    statement: TextClause = text(_CLAIM.format(columns=", ".join(columns), **shared, **words))
    return statement.columns(*(column(name, work.c[name].type) for name in columns))
