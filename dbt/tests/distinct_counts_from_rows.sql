-- Distinct counts of the day are taken from the rows, not summed from hours.
with facts as (
  select
    {{ day_of('last_contact') }} as day,
    {{ region_or_unlocated('region') }} as region,
    count(distinct icao24) as unique_aircraft,
    count(distinct callsign) as unique_callsigns
  from {{ ref('fact_flight_activity') }}
  group by {{ day_of('last_contact') }}, {{ region_or_unlocated('region') }}
)

select facts.day, facts.region
from facts
left join {{ ref('agg_flight_statistics') }} as daily on daily.day = facts.day and daily.region = facts.region
where daily.day is null
  or daily.unique_aircraft <> facts.unique_aircraft
  or daily.unique_callsigns <> facts.unique_callsigns
