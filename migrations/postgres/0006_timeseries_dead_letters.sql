-- What a consumer could not handle, with what waits behind it; and what operators want of consumers.

create table timeseries.dead_letters (
    consumer text not null,
    topic text not null,
    partition integer not null,
    -- Of the record on the bus.
    record_offset bigint not null,
    -- The record's key: records of a parked key wait here in the order of their offsets.
    key bytea not null,
    -- What the headers of the record said; null where they said nothing.
    position bigint,
    ingest_time timestamptz,
    epoch integer,
    format text not null,
    value bytea not null,
    -- Null for a record that only waits behind one that could not be handled.
    error text,
    attempts integer not null,
    first_time timestamptz not null,
    last_time timestamptz not null,
    -- Why an operator gave the record up; it leaves the next time its key is redriven.
    discarded text,
    primary key (consumer, topic, partition, record_offset)
);
create index on timeseries.dead_letters (consumer, topic, partition, key, record_offset);

create table timeseries.parked_keys (
    consumer text not null,
    topic text not null,
    partition integer not null,
    key bytea not null,
    -- The owner of the partition is to try again what waits.
    redrive boolean not null default false,
    primary key (consumer, topic, partition, key)
);

-- What every consumer last said of itself, a row for each partition that it owns.
create table timeseries.consumer_reports (
    consumer text not null,
    topic text not null,
    partition integer not null,
    state text not null,
    reason text not null,
    holder text not null,
    reported_at timestamptz not null,
    primary key (consumer, topic, partition)
) with (fillfactor = 50);

-- What operators want of consumers; no row: run.
create table timeseries.consumer_orders (
    consumer text primary key,
    paused boolean not null
);
