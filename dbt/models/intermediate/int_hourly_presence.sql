-- One row per aircraft, hour and region in which it was heard.
select
  icao24,
  hour,
  region_or_unlocated as region,
  count(*) as states,
  min(last_contact) as first_contact,
  max(last_contact) as last_contact,
  sum(case when on_ground then 1 else 0 end) as grounded
from {{ ref('int_states_enriched') }}
group by icao24, hour, region_or_unlocated
