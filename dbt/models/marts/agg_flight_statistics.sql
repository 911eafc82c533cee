select
  day,
  region_or_unlocated as region,
  count(*) as states,
  count(distinct icao24) as unique_aircraft,
  count(distinct callsign) as unique_callsigns,
  {{ mean('velocity_mps') }} as mean_velocity_mps,
  {{ mean('baro_altitude_m') }} as mean_baro_altitude_m,
  max(velocity_mps) as max_velocity_mps,
  sum(case when on_ground then 1 else 0 end) as grounded,
  sum(case when on_ground then 0 else 1 end) as airborne,
  {% for band in ['surface', 'low', 'medium', 'high', 'cruise', 'unknown'] -%}
  sum(case when altitude_band = '{{ band }}' then 1 else 0 end) as states_{{ band }},
  {% endfor -%}
  {{ percent('sum(case when on_ground then 0 else 1 end)', 'count(*)') }} as airborne_pct
from {{ ref('int_states_enriched') }}
group by day, region_or_unlocated
