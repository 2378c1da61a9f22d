-- Accounts of devices.
create table devices (
    -- The subject that the device may write, with what is below it.
    name text primary key,
    -- PBKDF2-HMAC-SHA512 of the password: an ASCII salt and 64 bytes.
    salt text not null,
    iterations integer not null check (iterations > 0),
    hash blob not null,
    created_at integer not null
) strict, without rowid;
