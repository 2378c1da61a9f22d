-- What a consumer could not handle, with what waits behind it; and what operators want of consumers.

create table dead_letters (
    consumer text not null,
    topic text not null,
    partition integer not null,
    -- Of the record on the bus.
    record_offset integer not null,
    -- The record's key: records of a parked key wait here in the order of their offsets.
    key blob not null,
    -- What the headers of the record said; null where they said nothing.
    position integer,
    ingest_time integer,
    epoch integer,
    format text not null,
    value blob not null,
    -- Null for a record that only waits behind one that could not be handled.
    error text,
    attempts integer not null,
    first_time integer not null,
    last_time integer not null,
    -- Why an operator gave the record up; it leaves the next time its key is redriven.
    discarded text,
    primary key (consumer, topic, partition, record_offset)
) strict, without rowid;
create index dead_letters_key on dead_letters (consumer, topic, partition, key, record_offset);

create table parked_keys (
    consumer text not null,
    topic text not null,
    partition integer not null,
    key blob not null,
    -- The owner of the partition is to try again what waits.
    redrive integer not null default 0,
    primary key (consumer, topic, partition, key)
) strict, without rowid;

-- What every consumer last said of itself, a row for each partition that it owns.
create table consumer_reports (
    consumer text not null,
    topic text not null,
    partition integer not null,
    state text not null,
    reason text not null,
    holder text not null,
    reported_at integer not null,
    primary key (consumer, topic, partition)
) strict, without rowid;

-- What operators want of consumers; no row: run.
create table consumer_orders (
    consumer text primary key,
    paused integer not null
) strict, without rowid;
