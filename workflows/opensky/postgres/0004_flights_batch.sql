-- The states of hours and days as batches, each contact once, with what reference data say of it. `warehouse.load` makes the
-- partitions: a day (UTC) of last_contact each.
create table flights_batch (
    icao24 text not null,
    callsign text,
    origin_country text,
    time_position timestamptz,
    last_contact timestamptz not null,
    longitude_deg double precision,
    latitude_deg double precision,
    baro_altitude_m double precision,
    geo_altitude_m double precision,
    on_ground boolean not null,
    velocity_mps double precision,
    true_track_deg double precision,
    vertical_rate_mps double precision,
    squawk text,
    spi boolean not null,
    position_source integer not null,
    category integer,
    region text,
    snapshot_time timestamptz not null,
    fetched_at timestamptz not null,
    batch_id text not null,
    schema_version integer not null,
    position_age_s bigint,
    contact_age_s bigint not null,
    is_live boolean not null,
    flags integer not null,
    altitude_band text not null,
    speed_band text not null,
    country_iso2 text,
    registration text,
    typecode text,
    near_airport text,
    primary key (icao24, last_contact)
) partition by range (last_contact);

comment on table flights_batch is 'States of hours and days; written by warehouse.load. Rows that are there stay.';
comment on column flights_batch.batch_id is 'Workflow and window: equal in every run of one window';
comment on column flights_batch.near_airport is 'Nearest large airport within 50 km of a state below 3,000 m (dim_airports.ident)';
