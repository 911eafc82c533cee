-- Validated states (FlightState, schema version 1) and what views make of them.
--
-- Where these types are not the narrowest that would do:
-- * measures are Float64, not Float32: the marts are compared with those of PostgreSQL and DuckDB to the last digit, and 231.48
--   rounded to a Float32 is another number;
-- * position_source is the API's number, not an Enum8: dbt reads the same number on all engines, and a source that the API adds
--   one day is loaded instead of stopping the load;
-- * fetched_at keeps its milliseconds.
-- States are kept for so long after they came, not after they were heard: a backfill of last month is not removed by the first
-- merge after it was loaded.
create table flights_streaming (
    icao24 FixedString(6) comment '24-bit address of the transponder, six lower-case hex digits',
    callsign Nullable(String),
    origin_country LowCardinality(Nullable(String)),
    time_position Nullable(DateTime('UTC')),
    last_contact DateTime('UTC'),
    longitude_deg Nullable(Float64),
    latitude_deg Nullable(Float64),
    baro_altitude_m Nullable(Float64),
    geo_altitude_m Nullable(Float64),
    on_ground Bool,
    velocity_mps Nullable(Float64),
    true_track_deg Nullable(Float64),
    vertical_rate_mps Nullable(Float64),
    squawk Nullable(String),
    spi Bool,
    position_source Int32 comment '0 ADS-B, 1 ASTERIX, 2 MLAT, 3 FLARM',
    category Nullable(Int32),
    region LowCardinality(Nullable(String)) comment 'Region of the batch that brought the row first; null without a position',
    snapshot_time DateTime('UTC'),
    fetched_at DateTime64(3, 'UTC'),
    batch_id String,
    schema_version UInt16,
    position_age_s Nullable(Int64),
    contact_age_s Int64,
    is_live Bool,
    flags UInt16 comment 'Bit mask of the quality flags',
    altitude_band LowCardinality(String),
    speed_band LowCardinality(String),
    ingested_at DateTime('UTC') default now()
)
engine = ReplacingMergeTree(ingested_at)
partition by toDate(last_contact)
order by (icao24, last_contact)
ttl ingested_at + interval 30 day
settings ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000
comment 'Validated states; written by warehouse.load as processed_flights. Rows that are there stay. Read it with FINAL.';

-- States of whole hours or days, enriched; the daily run replaces the day's partition (mode: replace_partition). Hourly
-- partitions would be 2,160 in 90 days.
create table flights_batch (
    icao24 FixedString(6),
    callsign Nullable(String),
    origin_country LowCardinality(Nullable(String)),
    time_position Nullable(DateTime('UTC')),
    last_contact DateTime('UTC'),
    longitude_deg Nullable(Float64),
    latitude_deg Nullable(Float64),
    baro_altitude_m Nullable(Float64),
    geo_altitude_m Nullable(Float64),
    on_ground Bool,
    velocity_mps Nullable(Float64),
    true_track_deg Nullable(Float64),
    vertical_rate_mps Nullable(Float64),
    squawk Nullable(String),
    spi Bool,
    position_source Int32,
    category Nullable(Int32),
    region LowCardinality(Nullable(String)),
    snapshot_time DateTime('UTC'),
    fetched_at DateTime64(3, 'UTC'),
    batch_id String,
    schema_version UInt16,
    position_age_s Nullable(Int64),
    contact_age_s Int64,
    is_live Bool,
    flags UInt16,
    altitude_band LowCardinality(String),
    speed_band LowCardinality(String),
    country_iso2 LowCardinality(Nullable(String)),
    registration Nullable(String),
    typecode LowCardinality(Nullable(String)),
    near_airport LowCardinality(Nullable(String)),
    ingested_at DateTime('UTC') default now()
)
engine = ReplacingMergeTree(ingested_at)
partition by toDate(last_contact)
order by (icao24, last_contact)
ttl ingested_at + interval 90 day
settings ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000
comment 'Enriched states of opensky_batch. Read it with FINAL.';

-- The last state of each aircraft that was heard within the hour. A view fills it: a load leaves a key that is there alone.
create table flights_latest (
    icao24 FixedString(6),
    callsign Nullable(String),
    origin_country LowCardinality(Nullable(String)),
    last_contact DateTime('UTC'),
    longitude_deg Nullable(Float64),
    latitude_deg Nullable(Float64),
    baro_altitude_m Nullable(Float64),
    on_ground Bool,
    velocity_mps Nullable(Float64),
    true_track_deg Nullable(Float64),
    vertical_rate_mps Nullable(Float64),
    region LowCardinality(Nullable(String)),
    snapshot_time DateTime('UTC')
)
engine = ReplacingMergeTree(last_contact)
order by icao24
ttl last_contact + interval 1 hour
settings non_replicated_deduplication_window = 10000
comment 'The newest state of each aircraft. Read it with FINAL.';

create materialized view flights_latest_mv to flights_latest as
select
    icao24, callsign, origin_country, last_contact, longitude_deg, latitude_deg, baro_altitude_m, on_ground, velocity_mps,
    true_track_deg, vertical_rate_mps, region, snapshot_time
from flights_streaming;

-- Figures of a country's hour, as states that merge: an aircraft that comes in two batches is counted once.
create table country_statistics_hourly (
    hour DateTime('UTC'),
    origin_country LowCardinality(String) comment 'Empty if the API does not name one',
    states AggregateFunction(count),
    aircraft AggregateFunction(uniq, FixedString(6)),
    mean_velocity_mps AggregateFunction(avg, Nullable(Float64)),
    max_velocity_mps AggregateFunction(max, Nullable(Float64)),
    mean_baro_altitude_m AggregateFunction(avg, Nullable(Float64))
)
engine = AggregatingMergeTree
order by (hour, origin_country)
ttl hour + interval 2 year
settings non_replicated_deduplication_window = 10000
comment 'Read it with countMerge(states), uniqMerge(aircraft), avgMerge(…), maxMerge(…), grouped by hour and origin_country.';

create materialized view country_statistics_mv to country_statistics_hourly as
select
    toStartOfHour(last_contact) as hour,
    ifNull(origin_country, '') as origin_country,
    countState() as states,
    uniqState(icao24) as aircraft,
    avgState(velocity_mps) as mean_velocity_mps,
    maxState(velocity_mps) as max_velocity_mps,
    avgState(baro_altitude_m) as mean_baro_altitude_m
from flights_streaming
group by hour, origin_country;
