-- When a series is silent: for how long doors were open, and whose silence somebody waits for.

-- Ways in of all processes. Each says now and then that it is open, by this database's clock.
create table timeseries.doors (
    name text primary key,
    -- Those of one kind let in the same.
    kind text not null,
    open_at timestamptz not null
);

-- For how long all doors together were open, in microseconds, and what is known of the present stretch.
create table timeseries.vigil (
    one boolean primary key default true check (one),
    open bigint not null,
    until timestamptz not null,
    since timestamptz not null,
    open_before bigint not null
);

-- Series that a model waits for. Times are readings of the vigil's clock, in microseconds.
create table timeseries.quiet (
    series_id bigint not null,
    model_id integer not null,
    -- The position of the last sample that was noted, and when that was heard.
    noted bigint not null default 0,
    heard bigint not null default 0,
    -- When to look again.
    due bigint not null default 0,
    -- The silence since then is an anomaly already.
    told boolean not null default false,
    primary key (series_id, model_id)
) with (fillfactor = 70);
create index quiet_due on timeseries.quiet (due);
