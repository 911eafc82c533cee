-- Every state belongs to exactly one leg, and the legs of an aircraft are numbered without gaps.
with legs as (
  select icao24, sum(states) as states, count(*) as legs, max(leg_no) as last_leg
  from {{ ref('int_flight_legs') }}
  group by icao24
),

states as (
  select icao24, count(*) as states from {{ ref('int_states_deduped') }} group by icao24
)

select states.icao24
from states
left join legs on legs.icao24 = states.icao24
where legs.icao24 is null or legs.states <> states.states or legs.legs <> legs.last_leg
