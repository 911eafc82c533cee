DROP TABLE run_log;
DROP TABLE run;
