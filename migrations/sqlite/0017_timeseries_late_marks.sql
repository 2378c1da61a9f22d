-- Events that were parked and come after their shard has gone on are seen with the changes that it has taken by then.
create table late_marks (
    shard integer not null,
    subject text not null,
    -- Events of the subject above this position are seen with the changes up to this one, whatever `control_marks` says.
    seq integer not null,
    after_position integer not null,
    primary key (shard, subject, seq)
) strict, without rowid;
