{# Generic tests. Each selects the rows that break the rule. #}

{% test between(model, column_name, min=none, max=none) %}
select {{ column_name }}
from {{ model }}
where {{ column_name }} is not null
  and (
    {% if min is not none %}{{ column_name }} < {{ min }}{% else %}1 = 0{% endif %}
    or {% if max is not none %}{{ column_name }} > {{ max }}{% else %}1 = 0{% endif %}
  )
{% endtest %}

{% test matches_pattern(model, column_name, pattern) %}
select {{ column_name }}
from {{ model }}
where {{ column_name }} is not null and not {{ opensky.matches(column_name, pattern) }}
{% endtest %}

{# Nulls count as values of their own: a key may hold the null country. #}
{% test unique_key(model, columns) %}
select {{ columns | join(', ') }}, count(*) as copies
from {{ model }}
group by {{ columns | join(', ') }}
having count(*) > 1
{% endtest %}

{% test has_rows(model) %}
select count(*) as found from {{ model }} having count(*) = 0
{% endtest %}

{% test holds(model, expression) %}
select * from {{ model }} where not ({{ expression }})
{% endtest %}
