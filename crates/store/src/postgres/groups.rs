//! Groups on PostgreSQL.

use std::collections::HashMap;

use async_trait::async_trait;
use cornjacket_domain::Timestamp;
use sqlx::Row;
use sqlx::postgres::PgRow;
use time::OffsetDateTime;

use super::event_log::{from_sql, to_sql};
use super::offsets::PostgresTx;
use crate::StoreError;
use crate::groups::{Group, GroupKey, GroupsTx};

// One that is not there yet is made, and one that is there is written as it is: so each is locked, in order, and nobody lets go of it.
const LOCK: &str = "insert into actions.groups as known (rule, key, waiting)
    select rule, key, ''::bytea from unnest($1::text[], $2::text[]) with ordinality as wanted (rule, key, place)
    order by place on conflict (rule, key) do update set waiting = known.waiting
    returning rule, key, due_at, told_at, waiting";
const PUT: &str =
    "update actions.groups set due_at = $3, told_at = $4, waiting = $5 where rule = $1 and key = $2";
// In the order of keys, as they are locked by all: a group that many add to is waited for, or it would never be told.
const DUE: &str = "select rule, key, due_at, told_at, waiting from actions.groups
    where due_at <= $1 and (rule, key) in
        (select rule, key from actions.groups where due_at <= $1 order by due_at limit $2)
    order by rule collate \"C\", key collate \"C\" for update";

#[async_trait]
impl GroupsTx for PostgresTx {
    async fn lock_groups(&mut self, keys: &[GroupKey]) -> Result<HashMap<GroupKey, Group>, StoreError> {
        let (rules, names): (Vec<&str>, Vec<&str>) =
            keys.iter().map(|one| (one.rule.as_str(), one.key.as_str())).unzip();
        let rows = sqlx::query(LOCK).bind(&rules).bind(&names).fetch_all(&mut *self.0).await?;
        rows.iter().map(|row| group(row).map(|group| (group.id.clone(), group))).collect()
    }

    async fn put_groups(&mut self, groups: &[Group]) -> Result<(), StoreError> {
        for group in groups {
            sqlx::query(PUT)
                .bind(&group.id.rule)
                .bind(&group.id.key)
                .bind(group.due.map(to_sql))
                .bind(group.told.map(to_sql))
                .bind(&group.waiting)
                .execute(&mut *self.0)
                .await?;
        }
        self.1.tells();
        Ok(())
    }

    async fn due_groups(&mut self, now: Timestamp, most: u32) -> Result<Vec<Group>, StoreError> {
        let query = sqlx::query(DUE).bind(to_sql(now)).bind(i64::from(most));
        query.fetch_all(&mut *self.0).await?.iter().map(group).collect()
    }
}

fn group(row: &PgRow) -> Result<Group, StoreError> {
    let time = |index| Ok::<_, StoreError>(row.try_get::<Option<OffsetDateTime>, _>(index)?.map(from_sql));
    Ok(Group {
        id: GroupKey { rule: row.try_get(0)?, key: row.try_get(1)? },
        due: time(2)?,
        told: time(3)?,
        waiting: row.try_get(4)?,
    })
}
