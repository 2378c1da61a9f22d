-- Series of measurements: samples, and their roll-ups by minute and hour. Where the database has TimescaleDB's extension when
-- this runs, both are hypertables; where it has not, they are partitioned by UTC day.

create table timeseries.series (
    id bigint generated always as identity primary key,
    subject text not null,
    metric text not null,
    -- As the last event, by position, had it.
    unit text not null,
    unique (subject, metric)
) with (fillfactor = 90);

do $$
declare
    timescale boolean := exists (select from pg_extension where extname = 'timescaledb');
    by_day text := case when timescale then '' else 'partition by range (%I)' end;
begin
    execute 'create table timeseries.samples (
        series_id bigint not null,
        -- The effective time.
        time timestamptz not null,
        -- Of the event that it came with.
        position bigint not null,
        value double precision not null,
        primary key (series_id, time, position)
    ) ' || format(by_day, 'time');
    execute 'create table timeseries.rollups (
        series_id bigint not null,
        -- Seconds that a bucket is long.
        step integer not null,
        -- When it begins.
        bucket timestamptz not null,
        count bigint not null,
        sum double precision not null,
        min double precision not null,
        max double precision not null,
        first_time timestamptz not null,
        first_position bigint not null,
        first_value double precision not null,
        last_time timestamptz not null,
        last_position bigint not null,
        last_value double precision not null,
        primary key (series_id, step, bucket)
    ) ' || format(by_day, 'bucket');
    if timescale then
        perform create_hypertable('timeseries.samples', by_range('time', interval '1 day'),
            create_default_indexes => false);
        perform create_hypertable('timeseries.rollups', by_range('bucket', interval '1 day'),
            create_default_indexes => false);
        -- Roll-ups change for as long as late samples may come, and are small: they stay as they are.
        alter table timeseries.samples set (timescaledb.compress,
            timescaledb.compress_segmentby = 'series_id', timescaledb.compress_orderby = 'time, position');
    end if;
end $$;

-- Makes the partitions of days that have none; with hypertables there is nothing to make. The writer calls it without
-- owning the tables, and needs no lock that readers would wait for.
create function timeseries.ensure_days(days date[]) returns void language plpgsql
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
        if to_regclass('timeseries.rollups_' || suffix) is not null then
            continue;
        end if;
        -- Of several writers that miss a day one makes it.
        perform pg_advisory_xact_lock(hashtextextended('cornjacket timeseries days', 0));
        since := day::timestamp at time zone 'UTC';
        until := (day + 1)::timestamp at time zone 'UTC';
        foreach parent in array array['samples', 'rollups'] loop
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
revoke execute on function timeseries.ensure_days(date[]) from public;
grant execute on function timeseries.ensure_days(date[]) to cornjacket_timeseries;
