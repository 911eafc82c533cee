-- One row per leg of an aircraft, as far as states show it.
select
  icao24,
  leg_no,
  min(last_contact) as started_at,
  max(last_contact) as ended_at,
  {{ seconds_between('min(last_contact)', 'max(last_contact)') }} as duration_s,
  count(*) as states,
  sum(case when on_ground then 1 else 0 end) as grounded,
  cast(max(case when is_departure then 1 else 0 end) = 1 as boolean) as departure_seen,
  cast(max(case when is_landing then 1 else 0 end) = 1 as boolean) as landing_seen,
  max(case when is_departure then previous_near_airport end) as departure_airport,
  max(case when is_landing then near_airport end) as landing_airport
from {{ ref('int_state_transitions') }}
group by icao24, leg_no
