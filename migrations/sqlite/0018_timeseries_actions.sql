-- What is done about events: rules and endpoints, what rules decided, and what is on its way to endpoints.

-- Counts the changes to definitions.
create table revision (revision integer not null) strict;
insert into revision (revision) values (0);

-- Rules and endpoints as they are, without secrets.
create table definitions (
    -- 'rule', 'endpoint' or 'silence'.
    kind text not null,
    name text not null,
    version integer not null,
    -- cornjacket.actions.v1.
    definition blob not null,
    made_by text,
    made_at integer not null,
    changed_by text,
    changed_at integer not null,
    primary key (kind, name)
) strict;
-- As they ever were: what was decided names versions of these.
create table definition_versions (
    kind text not null,
    name text not null,
    version integer not null,
    definition blob not null,
    changed_by text,
    changed_at integer not null,
    primary key (kind, name, version)
) strict;
-- What requests to endpoints are signed or authorised with: sealed.
create table secrets (
    endpoint text primary key,
    sealed blob not null
) strict;

-- What became of events that rules matched.
create table decisions (
    -- A digest of rule and event.
    id text primary key,
    rule text not null,
    rule_version integer not null,
    source text not null,
    event_id text not null,
    position integer not null,
    type text not null,
    subject text not null,
    outcome text not null,
    reason text not null,
    -- Of a repeat: the decision in whose window it fell.
    because text,
    -- Repeats within one window are one row.
    count integer not null,
    first_time integer not null,
    last_time integer not null,
    last_position integer not null
) strict;
create index decisions_window on decisions (rule, type, subject, first_time) where outcome = 'sent';
create index decisions_event on decisions (source, event_id);
create index decisions_repeats on decisions (type, subject, last_position) where count > 1;

-- What is told to endpoints.
create table deliveries (
    -- A digest of decision and endpoint.
    id text not null unique,
    -- In the order of decisions.
    number integer primary key autoincrement,
    endpoint text not null,
    decision text not null,
    rule text not null,
    rule_version integer not null,
    source text not null,
    event_id text not null,
    -- Deliveries of one key keep their order where the endpoint, or the delivery, asks for it.
    order_key text not null,
    ordered integer not null,
    -- What is smaller goes first.
    priority integer not null,
    message blob not null,
    -- 'pending', 'sending', 'delivered' or 'dead'.
    state text not null,
    due_at integer not null,
    -- Attempts that were begun, and how many steps of the retry schedule they were.
    attempts integer not null,
    steps integer not null,
    -- Counts claims: only who made the last one says what came of it.
    fence integer not null,
    lease_until integer,
    reason text not null,
    created_at integer not null,
    settled_at integer
) strict;
create index deliveries_waiting on deliveries (endpoint, priority, number) where state = 'pending';
create index deliveries_order on deliveries (endpoint, order_key, number) where state in ('pending', 'sending');
create index deliveries_due on deliveries (due_at) where state = 'pending';
create index deliveries_sending on deliveries (lease_until) where state = 'sending';
create index deliveries_decision on deliveries (decision);

create table attempts (
    delivery text not null,
    number integer not null,
    endpoint text not null,
    began_at integer not null,
    -- In microseconds; nothing while it is under way.
    took integer,
    -- As Attempt.Outcome numbers it.
    outcome integer not null,
    status integer not null,
    error text not null,
    response blob not null,
    address text not null,
    primary key (delivery, number)
) strict;
-- Limits count attempts.
create index attempts_began on attempts (began_at);
create index attempts_endpoint on attempts (endpoint, began_at);

-- What lasts until it is over: one of each key.
create table alarms (
    key text primary key,
    -- 'open', 'acknowledged' or 'cleared'.
    state text not null,
    -- As Severity numbers it.
    severity integer not null,
    rule text not null,
    rule_version integer not null,
    -- The decision that raised it.
    decision text not null,
    source text not null,
    event_id text not null,
    subject text not null,
    title text not null,
    -- The event that raised it.
    event blob not null,
    -- Whether somebody was told that it lasts.
    told integer not null,
    raised_count integer not null,
    event_count integer not null,
    raised_at integer not null,
    acknowledged_at integer,
    acknowledged_by text,
    cleared_at integer,
    last_position integer not null
) strict;

-- How endpoints are doing. Those that have had no answer have no row.
create table health (
    endpoint text primary key,
    -- In a row.
    failures integer not null,
    open_until integer,
    held_until integer,
    failing_since integer,
    -- Why nothing is sent to it, when we decided that.
    disabled text
) strict;
