{# Rows of a source table. On DuckDB they lie in the lake as Parquet; other engines have the table itself.
   A table that nobody has written to yet is empty, not an error: its columns come from the source's declaration. On servers this
   holds for what need not be there, not for the states, whose table a migration makes. #}
{% macro lake_table(name) %}
  {{- return(adapter.dispatch('lake_table', 'opensky')(name)) -}}
{% endmacro %}

{% macro default__lake_table(name) %}
  {%- set relation = source('opensky', name) -%}
  {%- if is_there(relation, name) -%}
    select * from {{ relation }}
  {%- else -%}
    {{ no_rows(name) }}
  {%- endif -%}
{% endmacro %}

{# Replacing tables keep a row's older versions until they merge: FINAL leaves the newest only. #}
{% macro clickhouse__lake_table(name) %}
  {%- set relation = source('opensky', name) -%}
  {%- if is_there(relation, name) -%}
    select * from {{ relation }}{{ ' final' if name == 'processed_flights' }}
  {%- else -%}
    {{ no_rows(name) }}
  {%- endif -%}
{% endmacro %}

{# Does the server have this table, or must it? While dbt only parses, nothing is asked. #}
{% macro is_there(relation, name) %}
  {%- do return(not execute or name == 'processed_flights' or load_relation(relation) is not none) -%}
{% endmacro %}

{% macro duckdb__lake_table(name) %}
  {#- source() is called for the lineage; what is read are the files behind it -#}
  {%- set relation = source('opensky', name) -%}
  {%- set files = lake_files(relation.identifier) -%}
  {%- set ns = namespace(written=true) -%}
  {%- if execute -%}
    {%- set ns.written = run_query("select count(*) from glob('" ~ files ~ "')").columns[0].values()[0] > 0 -%}
  {%- endif -%}
  {%- if ns.written -%}
    select * from read_parquet('{{ files }}', hive_partitioning = false, union_by_name = true)
  {%- else -%}
    {{ no_rows(name) }}
  {%- endif -%}
{% endmacro %}

{# The glob of a table's files in the lake, quotes doubled for SQL. #}
{% macro lake_files(name) %}
  {%- set root = env_var('UPDRAFT_LAKE_URL', '../.updraft/lake') | replace('file://', '') -%}
  {{- return((root.rstrip('/') ~ '/warehouse/' ~ name ~ '/**/*.parquet') | replace("'", "''")) -}}
{% endmacro %}

{# No rows with the columns that the source declares. #}
{% macro no_rows(name) %}
  {%- set table = graph.sources['source.opensky.opensky.' ~ name] -%}
  select
    {% for column in table.columns.values() -%}
    cast(null as {{ column_type(column.data_type) }}) as "{{ column.name }}"{{ "," if not loop.last }}
    {% endfor -%}
  where false
{% endmacro %}

{# A declared type in the engine's own words. #}
{% macro column_type(declared) %}{{ return(adapter.dispatch('column_type', 'opensky')(declared)) }}{% endmacro %}
{% macro default__column_type(declared) %}{{ return('double precision' if declared == 'double' else declared) }}{% endmacro %}
{% macro clickhouse__column_type(declared) %}
  {%- set words = {
    'varchar': 'String', 'timestamp with time zone': "DateTime64(3, 'UTC')", 'double': 'Float64',
    'boolean': 'Bool', 'integer': 'Int32', 'bigint': 'Int64'
  } -%}
  {{- return('Nullable(' ~ words[declared] ~ ')') -}}
{% endmacro %}
