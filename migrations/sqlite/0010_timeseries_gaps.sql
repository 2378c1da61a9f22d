-- Events that left the log before a consumer had read them: what it makes lacks them.
create table consumer_gaps (
    consumer text not null,
    topic text not null,
    partition integer not null,
    -- The last position that it never read.
    lost_until integer not null,
    primary key (consumer, topic, partition)
) strict, without rowid;
