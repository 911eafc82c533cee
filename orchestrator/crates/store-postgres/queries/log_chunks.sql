-- log_chunks: chunks from the one that holds a byte on, as many as hold $6 bytes.
SELECT c.byte_offset, c.first_line, c.lines, c.bytes, c.levels, c.body FROM (
    SELECT byte_offset, sum(bytes) OVER (ORDER BY byte_offset) - bytes AS before FROM (
        SELECT byte_offset, bytes FROM log_chunk
        WHERE run_id = $1 AND task_id = $2 AND map_index = $3 AND dispatch_no = $4
            AND byte_offset >= coalesce((SELECT max(byte_offset) FROM log_chunk
                WHERE run_id = $1 AND task_id = $2 AND map_index = $3 AND dispatch_no = $4 AND byte_offset <= $5), 0)
        ORDER BY byte_offset LIMIT 256) nearest
) taken JOIN log_chunk c ON c.run_id = $1 AND c.task_id = $2 AND c.map_index = $3 AND c.dispatch_no = $4
    AND c.byte_offset = taken.byte_offset
WHERE taken.before = 0 OR taken.before < $6 ORDER BY c.byte_offset
