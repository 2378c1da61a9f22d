-- Fixed when the log is first used: it decides which partition a subject is in.
create table topics (
    topic text primary key,
    partitions integer not null check (partitions > 0)
) strict, without rowid;
