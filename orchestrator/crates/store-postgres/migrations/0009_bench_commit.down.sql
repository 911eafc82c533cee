DROP TABLE bench_commit;
