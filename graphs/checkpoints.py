"""The SQLite file that a run is resumed from. Knows no graph.

Only the types of LangChain's messages and plain JSON are read back: a checkpoint file from elsewhere cannot bring code along.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver

from citrus_agent.core.errors import TraceError

CHECKPOINTS_NAME = "checkpoints.sqlite"
_OLDER = "checkpoint_id NOT IN (SELECT max(checkpoint_id) FROM checkpoints GROUP BY thread_id, checkpoint_ns)"


@contextmanager
def open_checkpoints(path: Path) -> Iterator[SqliteSaver]:
    """A checkpointer on ``path``. On leaving, all but the last checkpoint of each thread are dropped: the trace holds the history."""
    with closing(sqlite3.connect(path, check_same_thread=False)) as connection:
        try:
            saver = SqliteSaver(connection, serde=JsonPlusSerializer(allowed_msgpack_modules=None))
            saver.setup()
        except sqlite3.Error as error:
            raise TraceError(f"{path.name} cannot be read ({error}): delete it and resume, or start a new run") from error
        try:
            yield saver
        finally:
            with suppress(sqlite3.Error):  # an untidy file is no reason to lose the run
                _keep_latest(connection)


def _keep_latest(connection: sqlite3.Connection) -> None:
    connection.execute(f"DELETE FROM writes WHERE {_OLDER}")  # noqa: S608 - a constant of this module
    connection.execute(f"DELETE FROM checkpoints WHERE {_OLDER}")  # noqa: S608 - a constant of this module
    connection.commit()
    connection.execute("VACUUM")
