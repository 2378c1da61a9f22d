-- What is done about events: rules and endpoints, what rules decided, and what is on its way to endpoints.
create schema actions;
grant usage on schema actions to cornjacket_timeseries, cornjacket_query;
alter default privileges in schema actions grant select, insert, update, delete on tables to cornjacket_timeseries;
alter default privileges in schema actions grant select on tables to cornjacket_query;

-- Counts the changes to definitions; makers of changes take turns by it.
create table actions.revision (one boolean primary key default true check (one), revision bigint not null);
insert into actions.revision (revision) values (0);

-- Rules and endpoints as they are, without secrets.
create table actions.definitions (
    -- 'rule', 'endpoint' or 'silence'.
    kind text not null,
    name text not null,
    version integer not null,
    -- cornjacket.actions.v1.
    definition bytea not null,
    made_by text,
    made_at timestamptz not null,
    changed_by text,
    changed_at timestamptz not null,
    primary key (kind, name)
);
-- As they ever were: what was decided names versions of these.
create table actions.definition_versions (
    kind text not null,
    name text not null,
    version integer not null,
    definition bytea not null,
    changed_by text,
    changed_at timestamptz not null,
    primary key (kind, name, version)
);
-- What requests to endpoints are signed or authorised with: sealed.
create table actions.secrets (
    endpoint text primary key,
    sealed bytea not null
);
revoke select on actions.secrets from cornjacket_query;

-- What became of events that rules matched.
create table actions.decisions (
    -- A digest of rule and event.
    id text primary key,
    rule text not null,
    rule_version integer not null,
    source text not null,
    event_id text not null,
    position bigint not null,
    type text not null,
    subject text not null,
    outcome text not null,
    reason text not null,
    -- Of a repeat: the decision in whose window it fell.
    because text,
    -- Repeats within one window are one row.
    count bigint not null,
    first_time timestamptz not null,
    last_time timestamptz not null,
    last_position bigint not null
);
create index decisions_window on actions.decisions (rule, type, subject, first_time) where outcome = 'sent';
create index decisions_event on actions.decisions (source, event_id);
create index decisions_repeats on actions.decisions (type, subject, last_position) where count > 1;

-- What is told to endpoints.
create table actions.deliveries (
    -- A digest of decision and endpoint.
    id text primary key,
    -- In the order of decisions.
    number bigint generated always as identity,
    endpoint text not null,
    decision text not null,
    rule text not null,
    rule_version integer not null,
    source text not null,
    event_id text not null,
    -- Deliveries of one key keep their order where the endpoint, or the delivery, asks for it.
    order_key text not null,
    ordered boolean not null,
    -- What is smaller goes first.
    priority smallint not null,
    message bytea not null,
    -- 'pending', 'sending', 'delivered' or 'dead'.
    state text not null,
    due_at timestamptz not null,
    -- Attempts that were begun, and how many steps of the retry schedule they were.
    attempts integer not null,
    steps integer not null,
    -- Counts claims: only who made the last one says what came of it.
    fence bigint not null,
    lease_until timestamptz,
    reason text not null,
    created_at timestamptz not null,
    settled_at timestamptz
) with (fillfactor = 70);
create unique index deliveries_number on actions.deliveries (number);
create index deliveries_waiting on actions.deliveries (endpoint, priority, number) where state = 'pending';
create index deliveries_order on actions.deliveries (endpoint, order_key, number) where state in ('pending', 'sending');
create index deliveries_due on actions.deliveries (due_at) where state = 'pending';
create index deliveries_sending on actions.deliveries (lease_until) where state = 'sending';
create index deliveries_decision on actions.deliveries (decision);

create table actions.attempts (
    delivery text not null,
    number integer not null,
    endpoint text not null,
    began_at timestamptz not null,
    -- In microseconds; nothing while it is under way.
    took bigint,
    -- As Attempt.Outcome numbers it.
    outcome smallint not null,
    status integer not null,
    error text not null,
    response bytea not null,
    address text not null,
    primary key (delivery, number)
) with (fillfactor = 70);
-- Limits count attempts.
create index attempts_began on actions.attempts (began_at);
create index attempts_endpoint on actions.attempts (endpoint, began_at);

-- What lasts until it is over: one of each key.
create table actions.alarms (
    key text primary key,
    -- 'open', 'acknowledged' or 'cleared'.
    state text not null,
    -- As Severity numbers it.
    severity smallint not null,
    rule text not null,
    rule_version integer not null,
    -- The decision that raised it.
    decision text not null,
    source text not null,
    event_id text not null,
    subject text not null,
    title text not null,
    -- The event that raised it.
    event bytea not null,
    -- Whether somebody was told that it lasts.
    told boolean not null,
    raised_count bigint not null,
    event_count bigint not null,
    raised_at timestamptz not null,
    acknowledged_at timestamptz,
    acknowledged_by text,
    cleared_at timestamptz,
    last_position bigint not null
) with (fillfactor = 70);

-- How endpoints are doing. Those that have had no answer have no row.
create table actions.health (
    endpoint text primary key,
    -- In a row.
    failures integer not null,
    open_until timestamptz,
    held_until timestamptz,
    failing_since timestamptz,
    -- Why nothing is sent to it, when we decided that.
    disabled text
) with (fillfactor = 70);

-- Whoever chooses what is sent next has the lock on its row.
create table actions.turn (one boolean primary key default true check (one));
insert into actions.turn values (true);
