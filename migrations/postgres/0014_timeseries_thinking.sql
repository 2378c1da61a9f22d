-- What watches series: models, what they remember, what they say, and what is on its way from them into the log.

-- A version of a model never changes; another one is another row.
create table timeseries.models (
    id integer generated always as identity primary key,
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
    made_at timestamptz not null,
    unique (name, version)
);

-- Changes to what watches, in their order: numbers are given under the lock on their head, and have no holes. Each shard
-- takes them between two events, and notes between which.
create table timeseries.control_head (one boolean primary key default true check (one), seq bigint not null);
insert into timeseries.control_head (seq) values (0);
create table timeseries.controls (
    seq bigint primary key,
    model_id integer not null references timeseries.models,
    -- 'active', 'shadow' or 'off': for all series. 'false_alarm' or 'missed': a person's word on one.
    change text not null,
    series_id bigint,
    -- Of that series.
    shard integer,
    made_by text,
    made_at timestamptz not null
);
create table timeseries.control_marks (
    shard integer not null,
    seq bigint not null,
    -- Events of the shard above this position are seen with the change.
    after_position bigint not null,
    primary key (shard, seq)
);

-- A shard is the partitions of one number, which have the same subjects. Its turn counts the transactions that scored.
create table timeseries.shards (
    shard integer primary key,
    turn bigint not null,
    -- Whose memory the last transaction was made with: a number that a process draws when it begins.
    memory bigint not null,
    controls bigint not null
) with (fillfactor = 50);

create table timeseries.detector_states (
    series_id bigint not null,
    model_id integer not null,
    -- The change that began it: a model that was off in between begins anew.
    since bigint not null,
    -- The last sample that it has taken in.
    last_time timestamptz not null,
    last_position bigint not null,
    state bytea not null,
    primary key (series_id, model_id)
) with (fillfactor = 80);
-- States are bytes that no compression makes smaller.
alter table timeseries.detector_states alter column state set storage external;

-- Anomalies that the log does not have yet.
create table timeseries.outbox (
    id bigint generated always as identity primary key,
    event bytea not null
);

do $$
declare
    timescale boolean := (select relkind <> 'p' from pg_class where oid = 'timeseries.samples'::regclass);
    by_day text := case when timescale then '' else 'partition by range (time)' end;
begin
    execute 'create table timeseries.scores (
        series_id bigint not null,
        time timestamptz not null,
        position bigint not null,
        model_id integer not null,
        -- 0 is ordinary, 1 as strange as can be; null when it could not be had, with the reason.
        score double precision,
        expected double precision,
        lower double precision,
        upper double precision,
        -- Of an anomaly that began here, as AnomalyDetected.Severity numbers it.
        severity smallint,
        unscored text,
        primary key (series_id, time, position, model_id)
    ) ' || by_day;
    if timescale then
        perform create_hypertable('timeseries.scores', by_range('time', interval '1 day'),
            create_default_indexes => false);
        alter table timeseries.scores set (timescaledb.compress,
            timescaledb.compress_segmentby = 'series_id', timescaledb.compress_orderby = 'time, position, model_id');
    end if;
end $$;

-- As before, with the days of scores.
create or replace function timeseries.ensure_days(days date[]) returns void language plpgsql
    security definer set search_path = timeseries, pg_temp as $$
declare
    day date;
    suffix text;
    since timestamptz;
    until timestamptz;
    parent text;
begin
    if (select relkind <> 'p' from pg_class where oid = 'timeseries.samples'::regclass) then
        return;
    end if;
    foreach day in array days loop
        suffix := to_char(day, 'YYYYMMDD');
        if to_regclass('timeseries.scores_' || suffix) is not null then
            continue;
        end if;
        -- Of several writers that miss a day one makes it.
        perform pg_advisory_xact_lock(hashtextextended('cornjacket timeseries days', 0));
        since := day::timestamp at time zone 'UTC';
        until := (day + 1)::timestamp at time zone 'UTC';
        foreach parent in array array['samples', 'rollups', 'scores'] loop
            if to_regclass(format('timeseries.%s_%s', parent, suffix)) is null then
                execute format('create table timeseries.%1$s_%2$s (like timeseries.%1$s including all)', parent, suffix);
                execute format('alter table timeseries.%1$s attach partition timeseries.%1$s_%2$s for values from (%3$L) to (%4$L)',
                    parent, suffix, since, until);
            end if;
        end loop;
        -- Their rows change until their day is over: room on the page keeps those changes there.
        execute format('alter table timeseries.rollups_%s set (fillfactor = 70)', suffix);
    end loop;
end $$;
