-- One row per (icao24, last_contact): repeated polls, overlapping boxes and re-loads bring the same state again.
-- The newest snapshot wins, then the newest fetch; a row with a region before one without, then the batch name, so that
-- two runs over the same input choose the same row.
with ranked as (
  select
    *,
    row_number() over (
      partition by icao24, last_contact
      order by
        snapshot_time desc,
        case when region is null then 1 else 0 end,
        fetched_at desc,
        batch_id desc,
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
