-- What is derived from the log, with how far each consumer has come.
create schema timeseries;

create table timeseries.progress (
    consumer text not null,
    topic text not null,
    partition integer not null,
    -- The offset to read next.
    next_offset bigint not null,
    -- The last position whose effect is in.
    last_position bigint not null,
    primary key (consumer, topic, partition)
) with (fillfactor = 50);

create table timeseries.projection_states (
    projection text not null,
    version integer not null,
    subject text not null,
    state jsonb not null,
    -- The last event that was folded in.
    last_position bigint not null,
    -- The latest effective time that was folded in.
    event_time timestamptz not null,
    primary key (projection, version, subject)
) with (fillfactor = 80);
