-- Traffic by window, region, country and altitude.
create table traffic_windows (
    window_start DateTime('UTC'),
    region LowCardinality(String),
    origin_country LowCardinality(String),
    altitude_band LowCardinality(String),
    states UInt64,
    aircraft UInt64,
    mean_velocity_mps Nullable(Float64),
    max_velocity_mps Nullable(Float64),
    mean_baro_altitude_m Nullable(Float64),
    grounded UInt64,
    airborne UInt64,
    updated_at DateTime('UTC') default now()
)
engine = ReplacingMergeTree(updated_at)
order by (window_start, region, origin_country, altitude_band)
ttl updated_at + interval 30 day
settings non_replicated_deduplication_window = 10000
comment 'Figures of windows. Read it with FINAL.';

-- Judged rules, in the columns that quality.check writes to the lake and dbt expects of its source: `check_name`, `observed`
-- and `state` where a shorter list would say check, value and passed. A repeated run of an interval adds rows, and the marts take
-- the newest run's.
create table quality_results (
    run_id String,
    workflow LowCardinality(String),
    task LowCardinality(String),
    batch_id String,
    region LowCardinality(String) comment '`all` if the rule is over all rows',
    check_name LowCardinality(String),
    column_name LowCardinality(String) comment 'Column that the rule looks at; empty if it looks at rows',
    severity LowCardinality(String) comment 'warning or error',
    observed Nullable(Float64) comment 'In the unit of the rule',
    threshold Nullable(Float64),
    state LowCardinality(String) comment 'passed, warned or failed',
    score Nullable(Float64) comment '0 to 100',
    at DateTime64(3, 'UTC') comment 'End of the run''s data interval',
    stored_at DateTime('UTC') default now()
)
engine = MergeTree
order by (check_name, at, region, workflow, task, batch_id, column_name, run_id)
ttl stored_at + interval 180 day
settings non_replicated_deduplication_window = 10000
comment 'Results of quality.check.';
