select
  ident as airport,
  name as airport_name,
  nullif(iata_code, '') as iata_code,
  latitude_deg,
  longitude_deg,
  elevation_ft * 0.3048 as elevation_m,
  iso_country as iso2,
  municipality,
  continent
from {{ ref('airports_large') }}
