-- What the relay has put where on the bus, as of its position: the bus's own words, empty when nothing is known.
alter table event_store.relay add column published text not null default '';
