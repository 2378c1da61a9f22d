-- Series of measurements: samples, and their roll-ups by minute and hour. Times are microseconds since 1970.

create table series (
    id integer primary key,
    subject text not null,
    metric text not null,
    -- As the last event, by position, had it.
    unit text not null,
    unique (subject, metric)
) strict;

create table samples (
    series_id integer not null,
    -- The effective time.
    time integer not null,
    -- Of the event that it came with.
    position integer not null,
    value real not null,
    primary key (series_id, time, position)
) strict, without rowid;

create table rollups (
    series_id integer not null,
    -- Seconds that a bucket is long.
    step integer not null,
    -- When it begins.
    bucket integer not null,
    count integer not null,
    sum real not null,
    min real not null,
    max real not null,
    first_time integer not null,
    first_position integer not null,
    first_value real not null,
    last_time integer not null,
    last_position integer not null,
    last_value real not null,
    primary key (series_id, step, bucket)
) strict, without rowid;
-- For letting go of old days.
create index samples_time on samples (time);
create index rollups_bucket on rollups (bucket);
