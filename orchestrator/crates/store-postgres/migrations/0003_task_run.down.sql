DROP TABLE task_run;
