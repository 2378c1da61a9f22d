-- When consumers had which events, second by second. A slot belongs to a second of every hour: the table is bounded, and a
-- row that was not written over says by itself what it knows.
create table milestones (
    topic text not null,
    partition integer not null,
    consumer text not null,
    slot integer not null,
    -- The effects of what is after this position, up to the last one ...
    after_position integer not null,
    last_position integer not null,
    -- ... were in by then.
    reached_at integer not null,
    -- Asked of all consumers at once.
    primary key (topic, partition, consumer, slot)
) strict, without rowid;
