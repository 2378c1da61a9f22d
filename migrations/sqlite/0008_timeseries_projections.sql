-- Which states of a projection answer questions: a rebuild makes others beside them and then takes their place.
create table projections (
    projection text primary key,
    -- projection_states with this version are live.
    build integer not null,
    -- The version of the fold that makes them: nobody else may change them.
    fold integer not null,
    -- The last build that was begun; it goes live unless another one is begun meanwhile.
    last_begun integer not null
) strict, without rowid;
insert into projections (projection, build, fold, last_begun)
select projection, max(version), max(version), max(version) from projection_states group by projection;
