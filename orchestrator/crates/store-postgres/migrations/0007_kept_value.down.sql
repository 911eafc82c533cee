DROP TABLE shared_state;
DROP TABLE task_state;
