-- What the workflows keep of their own work.
create table flight_metrics (
    metric_name text not null,
    labels jsonb not null default '{}',
    labels_hash text not null,
    at timestamptz not null,
    value double precision not null,
    unit text not null,
    primary key (metric_name, labels_hash, at)
);

create table monitoring_alerts (
    alert_id text primary key,
    kind text not null,
    severity text not null check (severity in ('info', 'warning', 'critical')),
    state text not null check (state in ('fired', 'updated', 'resolved')),
    fired_at timestamptz not null,
    resolved_at timestamptz check (resolved_at >= fired_at),
    value double precision,
    threshold double precision,
    run_id uuid
);
create index monitoring_alerts_open on monitoring_alerts (fired_at) where resolved_at is null;

create table collection_runs (
    workflow text not null,
    logical_time timestamptz not null,
    region text not null,
    object_key text,
    api_time timestamptz,
    states integer,
    accepted integer,
    rejected integer,
    credits integer,
    status text not null,
    primary key (workflow, logical_time, region)
);

-- `remaining`: what the API's header said; `hold_until`: after a 429.
create table api_credit_ledger (
    bucket text not null,
    at timestamptz not null,
    cost integer not null,
    remaining integer,
    hold_until timestamptz,
    primary key (bucket, at)
);

create table raw_manifest (
    object_key text primary key,
    sha256 text not null,
    dt date not null,
    hour smallint not null check (hour between 0 and 23),
    processed_by text[] not null default '{}',
    status text not null
);
create index raw_manifest_hour on raw_manifest (dt, hour);

-- Judged rules, one row per rule, region and run; a repeated run of an interval adds rows, and the marts take the newest run's.
create table quality_results (
    run_id text not null,
    workflow text not null,
    task text not null,
    batch_id text not null,
    region text not null,
    check_name text not null,
    column_name text not null,
    severity text not null,
    observed double precision,
    threshold double precision,
    state text not null,
    score double precision,
    at timestamptz not null,
    primary key (at, workflow, task, batch_id, region, check_name, column_name, run_id)
);
comment on column quality_results.column_name is 'Column that the rule looks at; empty if it looks at rows';
comment on column quality_results.at is 'End of the data interval that was judged';
