-- What watches series: models, what they remember, what they say, and what is on its way from them into the log.

-- A version of a model never changes; another one is another row.
create table models (
    id integer primary key,
    name text not null,
    version integer not null,
    -- A kind of detector, and the version of its code.
    detector text not null,
    code text not null,
    -- Patterns of the series it watches.
    subjects text not null,
    metrics text not null,
    -- JSON, in one spelling.
    parameters text not null,
    -- Who made it: an operator's name, or nobody for the settings.
    made_by text,
    made_at integer not null,
    unique (name, version)
) strict;

-- Changes to what watches, in their order. Each shard takes them between two events, and notes between which.
create table controls (
    seq integer primary key,
    model_id integer not null references models,
    -- 'active', 'shadow' or 'off': for all series. 'false_alarm' or 'missed': a person's word on one.
    change text not null,
    series_id integer,
    -- Of that series.
    shard integer,
    made_by text,
    made_at integer not null
) strict;
create table control_marks (
    shard integer not null,
    seq integer not null,
    -- Events of the shard above this position are seen with the change.
    after_position integer not null,
    primary key (shard, seq)
) strict, without rowid;

-- A shard is the partitions of one number, which have the same subjects. Its turn counts the transactions that scored.
create table shards (
    shard integer primary key,
    turn integer not null,
    -- Whose memory the last transaction was made with: a number that a process draws when it begins.
    memory integer not null,
    controls integer not null
) strict;

create table detector_states (
    series_id integer not null,
    model_id integer not null,
    -- The change that began it: a model that was off in between begins anew.
    since integer not null,
    -- The last sample that it has taken in.
    last_time integer not null,
    last_position integer not null,
    state blob not null,
    primary key (series_id, model_id)
) strict;

-- Anomalies that the log does not have yet.
create table outbox (
    id integer primary key autoincrement,
    event blob not null
) strict;

create table scores (
    series_id integer not null,
    time integer not null,
    position integer not null,
    model_id integer not null,
    -- 0 is ordinary, 1 as strange as can be; null when it could not be had, with the reason.
    score real,
    expected real,
    lower real,
    upper real,
    -- Of an anomaly that began here, as AnomalyDetected.Severity numbers it.
    severity integer,
    unscored text,
    primary key (series_id, time, position, model_id)
) strict, without rowid;
-- For letting go of old days.
create index scores_time on scores (time);
