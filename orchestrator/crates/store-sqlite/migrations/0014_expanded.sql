-- Mapped tasks: how many instances one has. Its row is there from its expansion on, `waiting` also in generation 0. The
-- constraint changes as in 0012: the text of the table is replaced, no row is touched.
ALTER TABLE task_run ADD COLUMN expanded_n INTEGER CHECK (expanded_n >= 0);

PRAGMA writable_schema = ON;

UPDATE sqlite_schema
SET sql = replace(sql, 'losses = 0 AND generation > 0)', 'losses = 0 AND (generation > 0 OR expanded_n IS NOT NULL))')
WHERE type = 'table' AND name = 'task_run';

PRAGMA writable_schema = RESET;

-- Other connections learn of a change of the schema by its number, which these count up.
CREATE TABLE expanded_done (done INTEGER) STRICT;
DROP TABLE expanded_done;
