-- What is derived from the log, with how far each consumer has come.
create table progress (
    consumer text not null,
    topic text not null,
    partition integer not null,
    -- The offset to read next.
    next_offset integer not null,
    -- The last position whose effect is in.
    last_position integer not null,
    primary key (consumer, topic, partition)
) strict, without rowid;

create table projection_states (
    projection text not null,
    version integer not null,
    subject text not null,
    -- JSON.
    state text not null,
    -- The last event that was folded in.
    last_position integer not null,
    -- The latest effective time that was folded in, in microseconds since 1970.
    event_time integer not null,
    primary key (projection, version, subject)
) strict, without rowid;
