-- next_due: the earliest timer, and the head of the asked queues.
SELECT (SELECT due_at FROM work WHERE place = 't' ORDER BY due_at LIMIT 1),
    (SELECT min(head.rank) FROM unnest($1::text[]) AS asked(queue), LATERAL (
        SELECT w.rank FROM work w WHERE w.place = 'r' AND w.queue = asked.queue ORDER BY w.rank LIMIT 1) head)
