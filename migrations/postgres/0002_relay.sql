-- What the relay remembers, and where subjects go on the bus.

-- Fixed when the log is first used: it decides which partition a subject is in.
create table event_store.topics (
    topic text primary key,
    partitions integer not null check (partitions > 0)
);

-- One row. The lease saves work; the generation keeps a relay that lost it from moving the checkpoint.
create table event_store.relay (
    only_row boolean primary key default true check (only_row),
    -- Everything up to here is on the bus for good.
    position bigint not null check (position >= 0),
    generation bigint not null,
    holder text not null,
    -- By the database's clock.
    lease_until timestamptz not null
) with (fillfactor = 10);
insert into event_store.relay (position, generation, holder, lease_until) values (0, 0, '', '-infinity');
