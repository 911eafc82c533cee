-- One row per rule, region and run.
with loaded as (
  {{ lake_table('quality_results') }}
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
from loaded
