{# Distance over the sphere of mean radius 6,371,008.8 m (haversine); the argument of asin is cut at 1 against rounding. #}
{% macro distance_m(lat1, lon1, lat2, lon2) -%}
  (2 * 6371008.8 * asin(least(1.0, sqrt(
    power(sin(radians({{ lat2 }} - {{ lat1 }}) / 2), 2)
    + cos(radians({{ lat1 }})) * cos(radians({{ lat2 }})) * power(sin(radians({{ lon2 }} - {{ lon1 }}) / 2), 2)
  ))))
{%- endmacro %}
