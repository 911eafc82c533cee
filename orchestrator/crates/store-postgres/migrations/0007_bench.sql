-- The baseline B of `updraft bench`: one durable commit of one row here.
CREATE TABLE bench_commit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    v  integer NOT NULL,
    t  timestamptz NOT NULL DEFAULT now()
);
