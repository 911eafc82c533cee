{# What DuckDB, PostgreSQL and ClickHouse say differently. Models call these and stay the same everywhere. #}

{# An instant as a timestamp in UTC without zone, so that no session setting can move it. #}
{% macro utc(expression) %}{{ return(adapter.dispatch('utc', 'opensky')(expression)) }}{% endmacro %}
{% macro default__utc(expression) %}({{ expression }} at time zone 'UTC'){% endmacro %}
{% macro duckdb__utc(expression) %}make_timestamp(epoch_us({{ expression }})){% endmacro %}
{% macro clickhouse__utc(expression) %}toDateTime64({{ expression }}, 3, 'UTC'){% endmacro %}

{# Start of the hour. #}
{% macro hour_start(expression) %}{{ return(adapter.dispatch('hour_start', 'opensky')(expression)) }}{% endmacro %}
{% macro default__hour_start(expression) %}cast(date_trunc('hour', {{ expression }}) as timestamp){% endmacro %}
{% macro clickhouse__hour_start(expression) %}toStartOfHour({{ expression }}){% endmacro %}

{# The day, as a date. #}
{% macro day_of(expression) %}{{ return(adapter.dispatch('day_of', 'opensky')(expression)) }}{% endmacro %}
{% macro default__day_of(expression) %}cast({{ expression }} as date){% endmacro %}
{% macro clickhouse__day_of(expression) %}toDate({{ expression }}){% endmacro %}

{# Hour of the day, 0 to 23. #}
{% macro hour_of_day(expression) %}{{ return(adapter.dispatch('hour_of_day', 'opensky')(expression)) }}{% endmacro %}
{% macro default__hour_of_day(expression) %}extract(hour from {{ expression }}){% endmacro %}
{% macro clickhouse__hour_of_day(expression) %}toHour({{ expression }}){% endmacro %}

{# Start of the ten minutes. #}
{% macro ten_minutes_start(expression) %}{{ return(adapter.dispatch('ten_minutes_start', 'opensky')(expression)) }}{% endmacro %}
{% macro default__ten_minutes_start(expression) -%}
  (date_trunc('hour', {{ expression }}) + floor(extract(minute from {{ expression }}) / 10) * interval '10 minutes')
{%- endmacro %}
{% macro duckdb__ten_minutes_start(expression) %}time_bucket(interval '10 minutes', {{ expression }}){% endmacro %}
{% macro clickhouse__ten_minutes_start(expression) %}toStartOfTenMinutes({{ expression }}){% endmacro %}

{# Whole seconds from one instant to a later one. #}
{% macro seconds_between(earlier, later) %}{{ return(adapter.dispatch('seconds_between', 'opensky')(earlier, later)) }}{% endmacro %}
{% macro default__seconds_between(earlier, later) -%}
  cast(floor(extract(epoch from ({{ later }} - {{ earlier }}))) as bigint)
{%- endmacro %}
{% macro duckdb__seconds_between(earlier, later) -%}
  cast(floor((epoch_ms({{ later }}) - epoch_ms({{ earlier }})) / 1000) as bigint)
{%- endmacro %}
{% macro clickhouse__seconds_between(earlier, later) %}dateDiff('second', {{ earlier }}, {{ later }}){% endmacro %}

{# An instant so many days earlier. #}
{% macro days_before(expression, days) %}{{ return(adapter.dispatch('days_before', 'opensky')(expression, days)) }}{% endmacro %}
{% macro default__days_before(expression, days) %}({{ expression }} - interval '{{ days }} days'){% endmacro %}
{% macro clickhouse__days_before(expression, days) %}({{ expression }} - toIntervalDay({{ days }})){% endmacro %}

{# Exact percentile (0 to 1), interpolated between rows, nulls left out. #}
{% macro percentile(expression, share) %}{{ return(adapter.dispatch('percentile', 'opensky')(expression, share)) }}{% endmacro %}
{% macro default__percentile(expression, share) %}percentile_cont({{ share }}) within group (order by {{ expression }}){% endmacro %}
{% macro duckdb__percentile(expression, share) %}quantile_cont({{ expression }}, {{ share }}){% endmacro %}
{% macro clickhouse__percentile(expression, share) %}quantileExactInclusive({{ share }})({{ expression }}){% endmacro %}

{# Does the text match the pattern (RE2 and POSIX in common)? #}
{% macro matches(expression, pattern) %}{{ return(adapter.dispatch('matches', 'opensky')(expression, pattern)) }}{% endmacro %}
{% macro default__matches(expression, pattern) %}({{ expression }} ~ '{{ pattern }}'){% endmacro %}
{% macro duckdb__matches(expression, pattern) %}regexp_matches({{ expression }}, '{{ pattern }}'){% endmacro %}
{% macro clickhouse__matches(expression, pattern) %}match({{ expression }}, '{{ pattern }}'){% endmacro %}

{# The row before or after in the partition; null at its ends on every engine. #}
{% macro previous(expression, over) %}{{ return(adapter.dispatch('previous', 'opensky')(expression, over)) }}{% endmacro %}
{% macro default__previous(expression, over) %}lag({{ expression }}) over ({{ over }}){% endmacro %}
{% macro clickhouse__previous(expression, over) -%}
  lagInFrame(toNullable({{ expression }})) over ({{ over }} rows between unbounded preceding and unbounded following)
{%- endmacro %}

{# Mean over exact decimals with six places: a sum of floats depends on the order of the rows, and a re-run must change nothing. #}
{% macro mean(expression) %}{{ return(adapter.dispatch('mean', 'opensky')(expression)) }}{% endmacro %}
{% macro default__mean(expression) %}cast(avg(cast({{ expression }} as decimal(18, 6))) as double precision){% endmacro %}
{# ClickHouse's cast to a decimal cuts digits off where the others round: whole millionths are summed instead. #}
{% macro clickhouse__mean(expression) %}(avg(cast(round({{ expression }} * 1000000) as Nullable(Int64))) / 1000000){% endmacro %}

{# What follows the workflow in a batch's id, `{workflow}/{interval start}/{interval end}/{part}`: sorts batches by time. #}
{% macro interval_and_part(batch_id) %}substring({{ batch_id }}, cast(position('/' in {{ batch_id }}) + 1 as integer)){% endmacro %}
