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
