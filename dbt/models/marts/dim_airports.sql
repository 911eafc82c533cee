select
  airport,
  airport_name,
  iata_code,
  iso2,
  continent,
  municipality,
  latitude_deg,
  longitude_deg,
  elevation_m
from {{ ref('stg_ref__airports') }}
