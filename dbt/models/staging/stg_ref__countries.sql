-- One row per spelling of origin_country: the observed ones, then every country's plain name that is not among them.
with countries as (
  select code as iso2, name as country_name, continent from {{ ref('countries') }}
),

spellings as (
  select origin_country, iso2 from {{ ref('country_spellings') }}
  union all
  select country_name, iso2
  from countries
  where country_name not in (select origin_country from {{ ref('country_spellings') }})
)

select
  spellings.origin_country as origin_country,
  countries.iso2 as iso2,
  countries.country_name as country_name,
  countries.continent as continent
from spellings
inner join countries on countries.iso2 = spellings.iso2
