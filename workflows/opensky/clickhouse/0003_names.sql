-- The loaded states under the name that workflows use, read as they are meant to be: for checks that run on every warehouse.
create view processed_flights as select * from flights_streaming final;
