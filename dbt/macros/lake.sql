{# Rows of a source table. On DuckDB they lie in the lake as Parquet; other engines have the table itself.
   A table that nobody has written to yet is empty, not an error: its columns come from the source's declaration. #}
{% macro lake_table(name) %}
  {{- return(adapter.dispatch('lake_table', 'opensky')(name)) -}}
{% endmacro %}

{% macro default__lake_table(name) %}
  {%- set relation = source('opensky', name) -%}
  select * from {{ relation }}
{% endmacro %}

{# Replacing tables keep a row's older versions until they merge: FINAL leaves the newest only. #}
{% macro clickhouse__lake_table(name) %}
  {%- set relation = source('opensky', name) -%}
  select * from {{ relation }}{{ ' final' if name == 'processed_flights' }}
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
    {%- set table = graph.sources['source.opensky.opensky.' ~ name] -%}
    select
      {% for column in table.columns.values() -%}
      cast(null as {{ column.data_type }}) as "{{ column.name }}"{{ "," if not loop.last }}
      {% endfor -%}
    where false
  {%- endif -%}
{% endmacro %}

{# The glob of a table's files in the lake, quotes doubled for SQL. #}
{% macro lake_files(name) %}
  {%- set root = env_var('UPDRAFT_LAKE_URL', '../.updraft/lake') | replace('file://', '') -%}
  {{- return((root.rstrip('/') ~ '/warehouse/' ~ name ~ '/**/*.parquet') | replace("'", "''")) -}}
{% endmacro %}
