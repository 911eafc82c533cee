-- What attempts say about parts of their work, and the named measures of a run.
CREATE TABLE task_item (
    run_id      uuid NOT NULL,
    task_id     text NOT NULL,
    map_index   integer NOT NULL,
    dispatch_no integer NOT NULL,
    seq         integer NOT NULL CHECK (seq >= 0),
    kind        text NOT NULL,
    name        text NOT NULL,
    state       text NOT NULL,
    seconds     double precision,
    value       double precision,
    message     text,
    PRIMARY KEY (run_id, task_id, map_index, dispatch_no, seq)
);

CREATE TABLE run_metric (
    run_id  uuid NOT NULL,
    task_id text NOT NULL,
    name    text NOT NULL,
    labels  text NOT NULL,
    value   double precision NOT NULL,
    unit    text NOT NULL,
    PRIMARY KEY (run_id, task_id, name, labels)
);
COMMENT ON COLUMN run_metric.labels IS 'JSON object, sorted by name.';
