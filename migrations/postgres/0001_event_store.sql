-- The event log, its ledger of ids and its head. Partitions by UTC day of ingest_time are made by the writer.
create schema event_store;

-- One row. Its lock is the append lock: whoever holds it knows every position that was given.
create table event_store.head (
    only_row boolean primary key default true check (only_row),
    epoch integer not null check (epoch > 0),
    position bigint not null check (position >= 0),
    ingest_time timestamptz not null,
    -- Partitions exist for every day before this one.
    partitioned_until date not null
) with (fillfactor = 10);
insert into event_store.head (epoch, position, ingest_time, partitioned_until) values (1, 0, 'epoch', 'epoch');

create table event_store.log (
    position bigint not null,
    ingest_time timestamptz not null,
    type text not null,
    subject text not null,
    -- cornjacket.events.v1.Event without position and ingest_time.
    event bytea not null,
    primary key (position, ingest_time)
) partition by range (ingest_time);
-- Events are read whole: compressing or moving them out of line costs more than it saves at their size.
alter table event_store.log alter column event set storage external;
create index on event_store.log (subject, position);
create index on event_store.log (type, position);

-- Unique by key within each partition, by the append lock and a probe across all of them.
create table event_store.ledger (
    key bytea not null,
    digest bytea not null,
    position bigint not null,
    ingest_time timestamptz not null
) partition by range (ingest_time);

-- Makes the partitions of one day, and needs no lock that readers would wait for.
create function event_store.add_day(day date) returns void language plpgsql as $$
declare
    suffix text := to_char(day, 'YYYYMMDD');
    since timestamptz := day::timestamp at time zone 'UTC';
    until timestamptz := (day + 1)::timestamp at time zone 'UTC';
begin
    execute format('create table event_store.log_%s (like event_store.log including all)', suffix);
    execute format('create table event_store.ledger_%s (like event_store.ledger, primary key (key))', suffix);
    execute format('alter table event_store.log attach partition event_store.log_%s for values from (%L) to (%L)',
        suffix, since, until);
    execute format('alter table event_store.ledger attach partition event_store.ledger_%s for values from (%L) to (%L)',
        suffix, since, until);
end $$;
