-- Countries that were seen. The 30 days end at the newest contact in the data, not at the clock: a re-run changes nothing.
with newest as (
  select {{ days_before('max(last_contact)', 30) }} as window_start from {{ ref('int_states_enriched') }}
),

seen as (
  select
    states.origin_country as origin_country,
    states.iso2 as iso2,
    states.continent as continent,
    min(states.last_contact) as first_seen,
    max(states.last_contact) as last_seen,
    count(distinct case when states.last_contact > newest.window_start then states.icao24 end) as aircraft_30d
  from {{ ref('int_states_enriched') }} as states
  cross join newest
  where states.origin_country is not null
  group by states.origin_country, states.iso2, states.continent
),

ranked as (
  select *, row_number() over (order by aircraft_30d desc, origin_country) as place
  from seen
)

select
  origin_country,
  iso2,
  continent,
  first_seen,
  last_seen,
  aircraft_30d,
  case
    when place <= 10 then 'top_10'
    when place <= 50 then 'top_50'
    else 'other'
  end as tier
from ranked
