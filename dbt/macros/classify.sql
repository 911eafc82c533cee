{# The classifications of a state. The bands are those of the `opensky.validate` task; tests/bands_agree.sql holds both together. #}

{% macro altitude_band(on_ground, baro_altitude_m) -%}
  case
    when {{ on_ground }} then 'surface'
    when {{ baro_altitude_m }} is null then 'unknown'
    when {{ baro_altitude_m }} < 3000 then 'low'
    when {{ baro_altitude_m }} < 7500 then 'medium'
    when {{ baro_altitude_m }} < 11000 then 'high'
    else 'cruise'
  end
{%- endmacro %}

{% macro speed_band(velocity_mps) -%}
  case
    when {{ velocity_mps }} is null then 'unknown'
    when {{ velocity_mps }} < 1 then 'stopped'
    when {{ velocity_mps }} < 30 then 'taxi_slow'
    when {{ velocity_mps }} < 100 then 'slow'
    when {{ velocity_mps }} < 200 then 'medium'
    when {{ velocity_mps }} < 260 then 'fast'
    else 'very_fast'
  end
{%- endmacro %}

{% macro flight_phase(on_ground, vertical_rate_mps) -%}
  case
    when {{ on_ground }} then 'ground'
    when {{ vertical_rate_mps }} is null then 'unknown'
    when {{ vertical_rate_mps }} > 2.5 then 'climb'
    when {{ vertical_rate_mps }} < -2.5 then 'descent'
    else 'cruise'
  end
{%- endmacro %}

{# UTC thirds of the day: night 00–08, day 08–16, evening 16–24. #}
{% macro time_of_day(at) -%}
  case
    when {{ hour_of_day(at) }} < 8 then 'night'
    when {{ hour_of_day(at) }} < 16 then 'day'
    else 'evening'
  end
{%- endmacro %}

{# The region in aggregates: states without a position lie in none, and are counted under a name of their own. #}
{% macro region_or_unlocated(region) %}coalesce({{ region }}, 'unlocated'){% endmacro %}

{# Share of true rows in percent, null over no rows. #}
{% macro percent(part, whole) %}(cast(100 as double precision) * {{ part }} / nullif({{ whole }}, 0)){% endmacro %}
