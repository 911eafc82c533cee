-- The bands that the validating task wrote are those of macros/classify.sql.
select loaded.icao24, loaded.last_contact, loaded.altitude_band, loaded.speed_band
from {{ ref('stg_opensky__states') }} as loaded
where loaded.altitude_band <> {{ altitude_band('loaded.on_ground', 'loaded.baro_altitude_m') }}
  or loaded.speed_band <> {{ speed_band('loaded.velocity_mps') }}
