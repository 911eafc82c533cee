select
  bucket_start,
  region_or_unlocated as region,
  count(*) as states,
  count(distinct icao24) as unique_aircraft,
  sum(case when on_ground then 1 else 0 end) as grounded,
  sum(case when on_ground then 0 else 1 end) as airborne,
  {{ percent('sum(case when on_ground then 0 else 1 end)', 'count(*)') }} as airborne_pct,
  {{ mean('velocity_mps') }} as mean_velocity_mps,
  {{ percentile('velocity_mps', 0.5) }} as median_velocity_mps,
  max(velocity_mps) as max_velocity_mps,
  {{ mean('baro_altitude_m') }} as mean_baro_altitude_m
from {{ ref('int_states_enriched') }}
group by bucket_start, region_or_unlocated
