"""ClickHouse's HTTP interface in front of the real engine (PyPI `chdb-core`), for tests and development.

A ClickHouse server is in no package registry; its engine is, as a library. This package puts the server's HTTP interface
before it. Every request runs on an engine connection of its own, so that settings, USE and temporary tables do not leak;
with `session_id` one connection is kept. What cannot be decoded or is not supported is refused, never ignored.

The same as a server: storage, SQL, formats, inserts as streams, deduplication by token, sessions, parameters, settings,
compression both ways, error codes and HTTP statuses, KILL QUERY, recovery after kill -9.
Different from a server:
- the database `default` has the engine Overlay: make one of your own;
- an answer is built whole in memory: no exception in the middle of a stream, no progress headers;
- `written_rows` counts rows of a deduplicated insert too;
- users live here: no CREATE USER, no roles; no query_log unless the settings file switches it on;
- HTTP only: no native port, no `remote()`, no replication;
- one engine per process: two servers are two processes on two folders.

Files: `errors` (codes and statuses), `sql` (what kind of statement), `codec` (compression), `engine` (connections and
sessions), `handler` (HTTP), `__main__` (the program).
"""
