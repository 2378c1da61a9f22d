-- The event log, its ledger of ids and its head.

-- One row.
create table head (
    only_row integer primary key check (only_row = 1),
    epoch integer not null check (epoch > 0),
    position integer not null check (position >= 0),
    -- Microseconds since 1970, like every time here.
    ingest_time integer not null
) strict;
insert into head (only_row, epoch, position, ingest_time) values (1, 1, 0, 0);

create table log (
    position integer primary key,
    ingest_time integer not null,
    type text not null,
    subject text not null,
    -- cornjacket.events.v1.Event without position and ingest_time.
    event blob not null
) strict;
-- Both end in the position, which is the row id.
create index log_subject on log (subject);
create index log_type on log (type);

create table ledger (
    key blob primary key,
    digest blob not null,
    position integer not null,
    ingest_time integer not null
) strict, without rowid;
