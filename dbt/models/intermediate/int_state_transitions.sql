-- Each state beside the aircraft's state before it, and the leg that it belongs to. A leg begins with the aircraft's first
-- state, after a long silence, and when it leaves the ground; it ends on the ground, where the aircraft may stay for long.
with ordered as (
  select
    icao24,
    last_contact,
    hour,
    region_or_unlocated,
    on_ground,
    near_airport,
    {{ previous('last_contact', 'partition by icao24 order by last_contact') }} as previous_contact,
    {{ previous('on_ground', 'partition by icao24 order by last_contact') }} as previous_on_ground,
    {{ previous('near_airport', 'partition by icao24 order by last_contact') }} as previous_near_airport
  from {{ ref('int_states_enriched') }}
),

judged as (
  select
    *,
    case
      when previous_contact is null then true
      else {{ seconds_between('previous_contact', 'last_contact') }} > {{ var('leg_silence_s') }}
    end as after_silence
  from ordered
),

marked as (
  select
    *,
    not after_silence and previous_on_ground and not on_ground as is_departure,
    not after_silence and not previous_on_ground and on_ground as is_landing
  from judged
)

select
  icao24,
  last_contact,
  hour,
  region_or_unlocated,
  on_ground,
  near_airport,
  previous_near_airport,
  after_silence,
  coalesce(is_departure, false) as is_departure,
  coalesce(is_landing, false) as is_landing,
  sum(case when after_silence or is_departure then 1 else 0 end) over (
    partition by icao24
    order by last_contact
    rows between unbounded preceding and current row
  ) as leg_no
from marked
