-- Tables with history (SCD2): a version holds from valid_from (included) to valid_to (not); null: still.
create table dim_airports (
    icao text not null,
    iata text,
    name text not null,
    municipality text,
    country_iso2 text,
    latitude_deg double precision not null,
    longitude_deg double precision not null,
    elevation_m double precision,
    valid_from timestamptz not null,
    valid_to timestamptz check (valid_to > valid_from),
    primary key (icao, valid_from)
);
create unique index dim_airports_current on dim_airports (icao) where valid_to is null;

-- An address can move to another airframe, so that it has versions.
create table dim_aircraft (
    icao24 text not null,
    registration text,
    manufacturer text,
    model text,
    typecode text,
    operator text,
    owner text,
    valid_from timestamptz not null,
    valid_to timestamptz check (valid_to > valid_from),
    primary key (icao24, valid_from)
);
create unique index dim_aircraft_current on dim_aircraft (icao24) where valid_to is null;

create table dim_countries (
    origin_country text not null,
    iso2 text,
    continent text,
    valid_from timestamptz not null,
    valid_to timestamptz check (valid_to > valid_from),
    primary key (origin_country, valid_from)
);
create unique index dim_countries_current on dim_countries (origin_country) where valid_to is null;

create table dim_regions (
    region text primary key,
    min_latitude_deg double precision not null,
    min_longitude_deg double precision not null,
    max_latitude_deg double precision not null,
    max_longitude_deg double precision not null
);
