-- What is told together: what rules tell of one group, and deliveries that become one when they pile up.
create table groups (
    rule text not null,
    key text not null,
    -- When something is told of it next.
    due_at integer,
    -- When something was told of it last.
    told_at integer,
    -- What waits to be told.
    waiting blob not null,
    primary key (rule, key)
) strict;
create index groups_due on groups (due_at) where due_at is not null;

-- The group of the rule that raised it.
alter table alarms add column group_key text;
create index alarms_group on alarms (rule, group_key) where group_key is not null and state <> 'cleared';

-- What is told with others begins a window, too.
drop index decisions_window;
create index decisions_window on decisions (rule, type, subject, first_time) where outcome in ('sent', 'grouped');

-- Whether it may be told with others of its rule, and the one that it is told with.
alter table deliveries add column gathers integer not null default 0;
alter table deliveries add column told_with text;
create index deliveries_gathers on deliveries (endpoint, rule, number) where state = 'pending' and gathers;
create index deliveries_told_with on deliveries (told_with) where told_with is not null;
-- Attempts that were made when it was last sent again.
alter table deliveries add column attempts_before integer not null default 0;
