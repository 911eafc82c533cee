-- Additive measures: the day equals the sum of its hours, of its ten minutes, and of the facts.
with parts as (
  select 'daily' as source, day, region, states from {{ ref('agg_flight_statistics') }}
  union all
  select 'country_hourly', {{ day_of('hour') }}, region, states from {{ ref('agg_country_hourly') }}
  union all
  select 'region_10min', {{ day_of('bucket_start') }}, region, states from {{ ref('agg_region_traffic_10min') }}
  union all
  select 'hourly_presence', {{ day_of('hour') }}, region, states from {{ ref('int_hourly_presence') }}
  union all
  select 'facts', {{ day_of('last_contact') }}, {{ region_or_unlocated('region') }}, 1 from {{ ref('fact_flight_activity') }}
),

sums as (
  select source, day, region, sum(states) as states
  from parts
  group by source, day, region
)

select day, region, count(*) as sources, min(states) as least, max(states) as most
from sums
group by day, region
having count(*) <> 5 or min(states) <> max(states)
