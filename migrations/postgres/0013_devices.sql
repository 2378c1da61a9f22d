-- Accounts of devices. Ingest lets devices in, and so they are its own: what answers questions must not read hashes.
create table event_store.devices (
    -- The subject that the device may write, with what is below it.
    name text primary key,
    -- PBKDF2-HMAC-SHA512 of the password: an ASCII salt and 64 bytes.
    salt text not null,
    iterations integer not null check (iterations > 0),
    hash bytea not null,
    created_at timestamptz not null
);
-- The schema's default privileges let everybody read.
revoke all on event_store.devices from cornjacket_timeseries, cornjacket_query;
grant select, insert, delete on event_store.devices to cornjacket_ingest;
