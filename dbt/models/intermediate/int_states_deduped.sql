-- One row per (icao24, last_contact): repeated polls, overlapping boxes and re-loads bring the same state again.
-- The row that was loaded first wins, as in the tables of PostgreSQL and ClickHouse, where a key that is there is left alone.
-- The lake keeps all copies: there "first" is the batch of the earliest interval, and in one interval the first region by name,
-- which is the order in which warehouse.load takes them.
with ranked as (
  select
    *,
    row_number() over (
      partition by icao24, last_contact
      order by
        {{ interval_and_part('batch_id') }},
        batch_id,
        snapshot_time,
        fetched_at,
        time_position desc,
        region
    ) as place
  from {{ ref('stg_opensky__states') }}
)

select
  icao24,
  callsign,
  origin_country,
  time_position,
  last_contact,
  longitude_deg,
  latitude_deg,
  baro_altitude_m,
  geo_altitude_m,
  on_ground,
  velocity_mps,
  true_track_deg,
  vertical_rate_mps,
  squawk,
  spi,
  position_source,
  category,
  region,
  snapshot_time,
  fetched_at,
  batch_id,
  position_age_s,
  contact_age_s,
  is_live,
  flags,
  altitude_band,
  speed_band
from ranked
where place = 1
