-- Validated states (FlightState, schema version 1), one row per aircraft and contact. `warehouse.load` makes the partitions:
-- a day (UTC) of last_contact each, since the comment does not say `[partitions: monthly]`.
create table processed_flights (
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
    -- `warehouse.load` collects here what it finds under `region`: a state may lie in several boxes.
    regions text[] not null default '{}',
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
    primary key (icao24, last_contact)
) partition by range (last_contact);

create index processed_flights_snapshot_time on processed_flights (snapshot_time);
create index processed_flights_origin_country on processed_flights (origin_country);

comment on table processed_flights is 'Validated states; written by warehouse.load. Rows that are there stay.';
comment on column processed_flights.icao24 is '24-bit address of the transponder, six lower-case hex digits';
comment on column processed_flights.region is 'Region of the batch that brought the row first; null without a position';
comment on column processed_flights.regions is 'Regions of all batches that brought the row';
comment on column processed_flights.flags is 'Bit mask of the quality flags';

-- Hourly figures.
create table flight_statistics (
    bucket_start timestamptz not null,
    region text not null,
    origin_country text not null,
    altitude_band text not null,
    states bigint not null,
    unique_aircraft bigint not null,
    mean_velocity_mps double precision,
    max_velocity_mps double precision,
    mean_baro_altitude_m double precision,
    grounded bigint not null,
    airborne bigint not null,
    primary key (bucket_start, region, origin_country, altitude_band)
);

-- From the API's endpoint of flights.
create table flights (
    icao24 text not null,
    first_seen timestamptz not null,
    last_seen timestamptz not null,
    callsign text,
    departure_airport text,
    arrival_airport text,
    departure_horizontal_distance_m integer,
    departure_vertical_distance_m integer,
    arrival_horizontal_distance_m integer,
    arrival_vertical_distance_m integer,
    departure_candidates integer,
    arrival_candidates integer,
    primary key (icao24, first_seen)
);
