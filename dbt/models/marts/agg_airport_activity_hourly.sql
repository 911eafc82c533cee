-- Estimates: with a poll every ten minutes, only landings and departures between two polls are seen, and each aircraft is
-- counted at the nearest large airport.
with presence as (
  select hour, near_airport as airport, count(distinct icao24) as aircraft
  from {{ ref('int_states_enriched') }}
  where near_airport is not null
  group by hour, near_airport
),

-- A landing counts where the aircraft stands after it, a departure where it stood before it.
events as (
  select hour, near_airport as airport, 1 as landings, 0 as departures
  from {{ ref('int_state_transitions') }}
  where is_landing and near_airport is not null
  union all
  select hour, previous_near_airport as airport, 0 as landings, 1 as departures
  from {{ ref('int_state_transitions') }}
  where is_departure and previous_near_airport is not null
),

counted as (
  select hour, airport, sum(landings) as landings_est, sum(departures) as departures_est
  from events
  group by hour, airport
),

keys as (
  select hour, airport from presence
  union distinct
  select hour, airport from counted
)

select
  keys.hour as hour,
  keys.airport as airport,
  coalesce(presence.aircraft, 0) as aircraft,
  cast(coalesce(counted.landings_est, 0) as bigint) as landings_est,
  cast(coalesce(counted.departures_est, 0) as bigint) as departures_est
from keys
left join presence on presence.hour = keys.hour and presence.airport = keys.airport
left join counted on counted.hour = keys.hour and counted.airport = keys.airport
