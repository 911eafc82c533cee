-- The regions that are known by name, those that were seen, and `unlocated`, where states without a position are counted.
-- A known region without states stays, with zero of them.
with seen as (
  select
    region_or_unlocated as region,
    count(*) as states,
    count(distinct icao24) as unique_aircraft,
    min(last_contact) as first_seen,
    max(last_contact) as last_seen
  from {{ ref('int_states_enriched') }}
  group by region_or_unlocated
),

names as (
  select region from {{ ref('known_regions') }}
  union distinct
  select region from seen
  union distinct
  select {{ region_or_unlocated('null') }} as region
)

select
  names.region as region,
  cast(names.region <> {{ region_or_unlocated('null') }} as boolean) as is_located,
  known.lamin_deg as lamin_deg,
  known.lomin_deg as lomin_deg,
  known.lamax_deg as lamax_deg,
  known.lomax_deg as lomax_deg,
  coalesce(seen.states, 0) as states,
  coalesce(seen.unique_aircraft, 0) as unique_aircraft,
  seen.first_seen as first_seen,
  seen.last_seen as last_seen
from names
left join {{ ref('known_regions') }} as known on known.region = names.region
left join seen on seen.region = names.region
