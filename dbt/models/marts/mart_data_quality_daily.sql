select
  {{ day_of('judged_for_at') }} as day,
  {{ region_or_unlocated('region') }} as region,
  check_name,
  count(distinct run_id) as runs,
  sum(case when state = 'failed' then 1 else 0 end) as failures,
  sum(case when state = 'warned' then 1 else 0 end) as warnings,
  min(score) as worst,
  {{ mean('score') }} as mean_score
from {{ ref('stg_opensky__quality_results') }}
group by {{ day_of('judged_for_at') }}, {{ region_or_unlocated('region') }}, check_name
