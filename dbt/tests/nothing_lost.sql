-- Every loaded state is in the facts once: no join dropped or doubled one.
with loaded as (
  select count(*) as states
  from (select distinct icao24, last_contact from {{ ref('stg_opensky__states') }}) as keys
),

facts as (
  select count(*) as states from {{ ref('fact_flight_activity') }}
)

select loaded.states as loaded, facts.states as facts
from loaded
cross join facts
where loaded.states <> facts.states
