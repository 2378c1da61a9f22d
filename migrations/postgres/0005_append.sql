-- Takes the append lock, and returns what appending needs to know: the last position, the time of what is stored next,
-- and those of the keys that the ledger knows. Keys are distinct. Partitions are there when it returns.
create function event_store.begin_append(
    p_now timestamptz, p_keys bytea[],
    out head_position bigint, out batch_time timestamptz,
    out known_keys bytea[], out known_digests bytea[], out known_positions bigint[], out known_times timestamptz[]
) language plpgsql as $$
declare
    v_partitioned_until date;
    v_today date;
begin
    -- A statement of its own: the next one sees what the last holder of the lock committed.
    select h.position, greatest(h.ingest_time, p_now), h.partitioned_until
        into head_position, batch_time, v_partitioned_until
        from event_store.head h where h.only_row for update;

    select array_agg(l.key), array_agg(l.digest), array_agg(l.position), array_agg(l.ingest_time)
        into known_keys, known_digests, known_positions, known_times
        from event_store.ledger l where l.key = any(p_keys) and l.ingest_time <= batch_time;

    -- A week ahead, so that midnight finds its partition there.
    v_today := (batch_time at time zone 'UTC')::date;
    if v_today + 1 >= v_partitioned_until then
        for ahead in greatest(v_partitioned_until, v_today) - v_today .. 7 loop
            perform event_store.add_day(v_today + ahead);
        end loop;
        update event_store.head set partitioned_until = v_today + 8 where only_row;
    end if;
end $$;

-- Moves the head to the last position that was stored, and wakes readers.
create function event_store.end_append(p_last bigint, p_time timestamptz) returns void language plpgsql as $$
begin
    update event_store.head set position = p_last, ingest_time = p_time where only_row;
    perform pg_notify('cornjacket_log', p_last::text);
end $$;

-- Appending, as one call: one round trip and one transaction, so that the append lock is held for the shortest time.
-- Events whose keys the ledger does not know are stored, in the order given, at the positions above `head_position` and
-- with the time `batch_time`.
create function event_store.append(
    p_now timestamptz, p_keys bytea[], p_digests bytea[], p_types text[], p_subjects text[], p_events bytea[],
    out head_position bigint, out batch_time timestamptz,
    out known_keys bytea[], out known_digests bytea[], out known_positions bigint[], out known_times timestamptz[]
) language plpgsql as $$
begin
    select * into head_position, batch_time, known_keys, known_digests, known_positions, known_times
        from event_store.begin_append(p_now, p_keys);
    if known_keys is not null then
        select array_agg(f.key order by n), array_agg(f.digest order by n), array_agg(f.type order by n),
                array_agg(f.subject order by n), array_agg(f.event order by n)
            into p_keys, p_digests, p_types, p_subjects, p_events
            from unnest(p_keys, p_digests, p_types, p_subjects, p_events)
                with ordinality f (key, digest, type, subject, event, n)
            where f.key <> all(known_keys);
        if p_keys is null then
            return;
        end if;
    end if;
    insert into event_store.log (position, ingest_time, type, subject, event)
        select head_position + n, batch_time, f.type, f.subject, f.event
        from unnest(p_types, p_subjects, p_events) with ordinality f (type, subject, event, n);
    insert into event_store.ledger (key, digest, position, ingest_time)
        select f.key, f.digest, head_position + n, batch_time
        from unnest(p_keys, p_digests) with ordinality f (key, digest, n);
    perform event_store.end_append(head_position + cardinality(p_keys), batch_time);
end $$;
