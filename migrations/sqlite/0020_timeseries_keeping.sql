-- What an endpoint was signed with before its secret: sealed, and good until its receiver has changed over.
create table former_secrets (
    endpoint text not null,
    -- What is larger came later.
    number integer not null,
    sealed blob not null,
    signs_until integer not null,
    primary key (endpoint, number)
) strict;
create index former_secrets_until on former_secrets (signs_until);

-- What is over for long is found by when it was, and is kept while something names it.
create index deliveries_settled on deliveries (settled_at) where settled_at is not null;
create index decisions_last on decisions (last_time);
create index decisions_because on decisions (because) where because is not null;
