-- A role for each schema's writer and one that only reads, so that a defect in one part cannot spoil what is another's.
-- Roles belong to the whole server: they may be there already, and other databases may be making them right now.
do $$
declare
    name text;
begin
    foreach name in array array['cornjacket_ingest', 'cornjacket_timeseries', 'cornjacket_query'] loop
        begin
            execute format('create role %I nologin', name);
        exception when duplicate_object or unique_violation then null;
        end;
        -- Whoever runs the migrations is who connects later, and takes on one of the roles for each purpose. Who made a
        -- role is its member, but from PostgreSQL 16 on may not take it on unless that is granted.
        if current_setting('server_version_num')::integer >= 160000 then
            if not pg_has_role(current_user, name, 'set') then
                execute format('grant %I to current_user', name);
            end if;
        elsif not pg_has_role(current_user, name, 'member') then
            execute format('grant %I to current_user', name);
        end if;
    end loop;
end $$;

grant usage on schema event_store to cornjacket_ingest, cornjacket_timeseries, cornjacket_query;
grant usage on schema timeseries to cornjacket_timeseries, cornjacket_query;

grant select on all tables in schema event_store to cornjacket_ingest, cornjacket_timeseries, cornjacket_query;
grant insert on event_store.log, event_store.ledger, event_store.topics to cornjacket_ingest;
grant update on event_store.head, event_store.relay to cornjacket_ingest;

grant select, insert, update, delete on all tables in schema timeseries to cornjacket_timeseries;
grant select on all tables in schema timeseries to cornjacket_query;

alter default privileges in schema event_store grant select on tables to cornjacket_ingest, cornjacket_timeseries, cornjacket_query;
alter default privileges in schema timeseries grant select, insert, update, delete on tables to cornjacket_timeseries;
alter default privileges in schema timeseries grant select on tables to cornjacket_query;

-- Ingest makes partitions without owning the tables.
alter function event_store.add_day(date) security definer set search_path = event_store, pg_temp;
revoke execute on function event_store.add_day(date) from public;
grant execute on function event_store.add_day(date) to cornjacket_ingest;
