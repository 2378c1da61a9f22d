-- Who alone does something of which there may be only one, such as holding the MQTT session.
create table event_store.leases (
    name text primary key,
    -- Grows with every claim.
    generation bigint not null,
    holder text not null,
    -- By the database's clock.
    lease_until timestamptz not null
) with (fillfactor = 10);
grant insert, update on event_store.leases to cornjacket_ingest;
