-- One row per state as loaded: types and instants settled, texts trimmed, nothing dropped. An empty text is none: a column of a
-- server may take no nulls. ClickHouse's FixedString would be bytes to whoever reads the marts: it becomes a text here.
with loaded as (
  {{ lake_table('processed_flights') }}
)

select
  cast(icao24 as {{ dbt.type_string() }}) as icao24,
  nullif(trim(callsign), '') as callsign,
  nullif(trim(origin_country), '') as origin_country,
  {{ utc('time_position') }} as time_position,
  {{ utc('last_contact') }} as last_contact,
  longitude_deg,
  latitude_deg,
  baro_altitude_m,
  geo_altitude_m,
  on_ground,
  velocity_mps,
  true_track_deg,
  vertical_rate_mps,
  nullif(squawk, '') as squawk,
  spi,
  position_source,
  category,
  nullif(region, '') as region,
  {{ utc('snapshot_time') }} as snapshot_time,
  {{ utc('fetched_at') }} as fetched_at,
  batch_id,
  schema_version,
  position_age_s,
  contact_age_s,
  is_live,
  flags,
  altitude_band,
  speed_band
from loaded
