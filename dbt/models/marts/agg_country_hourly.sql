with hourly as (
  select
    hour,
    origin_country,
    iso2,
    region_or_unlocated as region,
    count(*) as states,
    count(distinct icao24) as unique_aircraft,
    {{ mean('velocity_mps') }} as mean_velocity_mps,
    {{ mean('baro_altitude_m') }} as mean_baro_altitude_m,
    {{ percent('sum(case when on_ground then 0 else 1 end)', 'count(*)') }} as airborne_pct
  from {{ ref('int_states_enriched') }}
  group by hour, origin_country, iso2, region_or_unlocated
)

select
  hour,
  origin_country,
  iso2,
  region,
  states,
  unique_aircraft,
  mean_velocity_mps,
  mean_baro_altitude_m,
  airborne_pct,
  -- States without a country are kept for the totals, but are no country to be ranked.
  case
    when origin_country is not null
      then rank() over (
        partition by hour, region, case when origin_country is null then 1 else 0 end
        order by unique_aircraft desc
      )
  end as rank_in_region
from hourly
