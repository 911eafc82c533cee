DROP TABLE run_metric;
DROP TABLE task_item;
