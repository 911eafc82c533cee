-- log_append: adds to logs, at most one head a log. What is there already stays; chunks inside a gap go.
WITH added AS (
    INSERT INTO log_chunk (run_id, task_id, map_index, dispatch_no, byte_offset, first_line, lines, bytes, levels, body)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::int4[], $4::int4[], $5::int8[], $6::int8[], $7::int8[], $8::int8[],
        $9::int2[], $10::bytea[])
    ON CONFLICT (run_id, task_id, map_index, dispatch_no, byte_offset) DO NOTHING
), head AS MATERIALIZED (
    SELECT * FROM unnest($11::uuid[], $12::text[], $13::int4[], $14::int4[], $15::int8[], $16::int8[], $17::int8[],
        $18::int8[], $19::text[], $20::int8[], $21::int8[], $22::int8[], $23::bool[])
        AS h(run_id, task_id, map_index, dispatch_no, bytes, lines, error_line, error_offset, error_text, gap_from, gap_until,
            gap_lines, complete)
), inside AS MATERIALIZED (
    SELECT found.tid FROM head h CROSS JOIN LATERAL (
        SELECT c.ctid AS tid FROM log_chunk c
        WHERE c.run_id = h.run_id AND c.task_id = h.task_id AND c.map_index = h.map_index
            AND c.dispatch_no = h.dispatch_no AND c.byte_offset >= h.gap_from
            AND c.byte_offset + c.bytes <= h.gap_until OFFSET 0) found
    WHERE h.gap_from IS NOT NULL
), left_out AS (
    DELETE FROM log_chunk c USING inside WHERE c.ctid = inside.tid
)
INSERT INTO attempt_log AS old (run_id, task_id, map_index, dispatch_no, bytes, lines, error_line, error_offset, error_text,
    gap_from, gap_until, gap_lines, complete, updated_at)
SELECT h.*, $24 FROM head h
ON CONFLICT (run_id, task_id, map_index, dispatch_no) DO UPDATE SET bytes = greatest(old.bytes, excluded.bytes),
    lines = greatest(old.lines, excluded.lines), error_line = coalesce(old.error_line, excluded.error_line),
    error_offset = coalesce(old.error_offset, excluded.error_offset),
    error_text = coalesce(old.error_text, excluded.error_text), gap_from = coalesce(excluded.gap_from, old.gap_from),
    gap_until = coalesce(excluded.gap_until, old.gap_until), gap_lines = coalesce(excluded.gap_lines, old.gap_lines),
    complete = old.complete OR excluded.complete, updated_at = excluded.updated_at
