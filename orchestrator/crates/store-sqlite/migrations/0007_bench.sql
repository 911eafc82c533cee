-- The baseline of `updraft bench`: one row per bare commit, removed by the bench itself.
CREATE TABLE bench_commit (
    id INTEGER PRIMARY KEY,
    v  INTEGER NOT NULL,
    t  INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER))
) STRICT;
