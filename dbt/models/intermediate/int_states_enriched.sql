-- States with what can be said about each by itself: classes, calendar, country, nearest large airport.
with states as (
  select * from {{ ref('int_states_deduped') }}
),

-- One degree of latitude is at least 110.5 km: whatever lies outside this belt is too far away to measure.
near as (
  select
    states.icao24 as icao24,
    states.last_contact as last_contact,
    airports.airport as airport,
    {{ distance_m('states.latitude_deg', 'states.longitude_deg', 'airports.latitude_deg', 'airports.longitude_deg') }} as distance_m
  from states
  inner join {{ ref('stg_ref__airports') }} as airports
    on airports.latitude_deg between states.latitude_deg - {{ var('airport_radius_m') }} / 110500.0
    and states.latitude_deg + {{ var('airport_radius_m') }} / 110500.0
  where states.on_ground or coalesce(states.baro_altitude_m, states.geo_altitude_m) < {{ var('airport_ceiling_m') }}
),

nearest as (
  select
    icao24,
    last_contact,
    airport,
    distance_m,
    row_number() over (partition by icao24, last_contact order by distance_m, airport) as place
  from near
  where distance_m <= {{ var('airport_radius_m') }}
)

select
  states.icao24 as icao24,
  states.last_contact as last_contact,
  states.time_position as time_position,
  states.snapshot_time as snapshot_time,
  states.batch_id as batch_id,
  states.callsign as callsign,
  states.origin_country as origin_country,
  countries.iso2 as iso2,
  countries.continent as continent,
  states.region as region,
  {{ region_or_unlocated('states.region') }} as region_or_unlocated,
  states.latitude_deg as latitude_deg,
  states.longitude_deg as longitude_deg,
  states.baro_altitude_m as baro_altitude_m,
  states.geo_altitude_m as geo_altitude_m,
  states.velocity_mps as velocity_mps,
  states.true_track_deg as true_track_deg,
  states.vertical_rate_mps as vertical_rate_mps,
  states.on_ground as on_ground,
  states.squawk as squawk,
  states.position_source as position_source,
  states.category as category,
  states.position_age_s as position_age_s,
  states.contact_age_s as contact_age_s,
  states.is_live as is_live,
  states.flags as flags,
  {{ flight_phase('states.on_ground', 'states.vertical_rate_mps') }} as phase,
  {{ altitude_band('states.on_ground', 'states.baro_altitude_m') }} as altitude_band,
  {{ speed_band('states.velocity_mps') }} as speed_band,
  {{ time_of_day('states.last_contact') }} as time_of_day,
  {{ day_of('states.last_contact') }} as day,
  {{ hour_start('states.last_contact') }} as hour,
  {{ ten_minutes_start('states.last_contact') }} as bucket_start,
  nearest.airport as near_airport,
  nearest.distance_m as near_airport_distance_m
from states
left join {{ ref('stg_ref__countries') }} as countries on countries.origin_country = states.origin_country
left join nearest
  on nearest.icao24 = states.icao24
  and nearest.last_contact = states.last_contact
  and nearest.place = 1
