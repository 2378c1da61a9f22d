-- When a series is silent: for how long doors were open, and whose silence somebody waits for. The doors of the one process are in
-- its memory.

-- For how long all doors together were open, and what is known of the present stretch, in microseconds.
create table vigil (
    one integer primary key check (one = 1),
    open integer not null,
    until integer not null,
    since integer not null,
    open_before integer not null
) strict;

-- Series that a model waits for. Times are readings of the vigil's clock, in microseconds.
create table quiet (
    series_id integer not null,
    model_id integer not null,
    -- The position of the last sample that was noted, and when that was heard.
    noted integer not null default 0,
    heard integer not null default 0,
    -- When to look again.
    due integer not null default 0,
    -- The silence since then is an anomaly already.
    told integer not null default 0,
    primary key (series_id, model_id)
) strict, without rowid;
create index quiet_due on quiet (due);
