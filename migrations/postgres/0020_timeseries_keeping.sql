-- What an endpoint was signed with before its secret: sealed, and good until its receiver has changed over.
create table actions.former_secrets (
    endpoint text not null,
    -- What is larger came later.
    number bigint not null,
    sealed bytea not null,
    signs_until timestamptz not null,
    primary key (endpoint, number)
);
create index former_secrets_until on actions.former_secrets (signs_until);
revoke select on actions.former_secrets from cornjacket_query;

-- What is over for long is found by when it was, and is kept while something names it.
create index deliveries_settled on actions.deliveries (settled_at) where settled_at is not null;
create index decisions_last on actions.decisions (last_time);
create index decisions_because on actions.decisions (because) where because is not null;
