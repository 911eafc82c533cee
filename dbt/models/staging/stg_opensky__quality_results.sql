-- One row per rule and region of a batch, as the newest run of its interval judged it (a run's id grows with time). The lake
-- keeps no other; the tables of databases keep the runs before.
with loaded as (
  {{ lake_table('quality_results') }}
),

ranked as (
  select
    *,
    row_number() over (
      partition by workflow, task, batch_id, region, check_name, column_name
      order by run_id desc
    ) as newest
  from loaded
)

select
  run_id,
  workflow,
  task,
  batch_id,
  nullif(region, '') as region,
  check_name,
  column_name,
  severity,
  observed,
  threshold,
  state,
  score,
  {{ utc('"at"') }} as judged_for_at
from ranked
where newest = 1
