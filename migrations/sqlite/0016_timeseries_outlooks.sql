-- What is expected of series: what the last forecast for each rule left, so that a restart expects nothing anew.
create table outlooks (
    -- The name of a rule of the settings.
    rule text not null,
    series_id integer not null,
    -- The last sample that the forecast has seen.
    last_time integer not null,
    last_position integer not null,
    -- While the upper limit is expected to be crossed: the last sample of the forecast that said so first, and that limit.
    up_since integer,
    up_limit real,
    -- The same of the lower one.
    down_since integer,
    down_limit real,
    primary key (rule, series_id)
) strict, without rowid;
