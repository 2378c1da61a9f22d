-- When consumers had which events, second by second. A slot belongs to a second of every hour: the table is bounded, and a
-- row that was not written over says by itself what it knows.
create table timeseries.milestones (
    topic text not null,
    partition integer not null,
    consumer text not null,
    slot integer not null,
    -- The effects of what is after this position, up to the last one ...
    after_position bigint not null,
    last_position bigint not null,
    -- ... were in by then.
    reached_at timestamptz not null,
    -- Asked of all consumers at once.
    primary key (topic, partition, consumer, slot)
) with (fillfactor = 80);

-- The same of the relay, a few times a second.
create table event_store.relay_milestones (
    slot integer primary key,
    after_position bigint not null,
    last_position bigint not null,
    reached_at timestamptz not null
) with (fillfactor = 80);
grant insert, update on event_store.relay_milestones to cornjacket_ingest;
