-- What is expected of series: what the last forecast for each rule left, so that a restart expects nothing anew.
create table timeseries.outlooks (
    -- The name of a rule of the settings.
    rule text not null,
    series_id bigint not null,
    -- The last sample that the forecast has seen.
    last_time timestamptz not null,
    last_position bigint not null,
    -- While the upper limit is expected to be crossed: the last sample of the forecast that said so first, and that limit.
    up_since bigint,
    up_limit double precision,
    -- The same of the lower one.
    down_since bigint,
    down_limit double precision,
    primary key (rule, series_id)
) with (fillfactor = 80);
