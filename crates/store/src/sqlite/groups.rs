//! Groups on SQLite.

use std::collections::HashMap;

use async_trait::async_trait;
use cornjacket_domain::Timestamp;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::offsets::SqliteTx;
use crate::StoreError;
use crate::groups::{Group, GroupKey, GroupsTx};

const THIS: &str = "select rule, key, due_at, told_at, waiting from groups where rule = ?1 and key = ?2";
const PUT: &str = "insert into groups (rule, key, due_at, told_at, waiting) values (?1, ?2, ?3, ?4, ?5)
    on conflict (rule, key) do update set due_at = ?3, told_at = ?4, waiting = ?5";
const DUE: &str = "select rule, key, due_at, told_at, waiting from groups
    where (rule, key) in (select rule, key from groups where due_at <= ?1 order by due_at limit ?2)
    order by rule, key";

#[async_trait]
impl GroupsTx for SqliteTx {
    async fn lock_groups(&mut self, keys: &[GroupKey]) -> Result<HashMap<GroupKey, Group>, StoreError> {
        // Whoever writes is alone.
        let mut found = HashMap::new();
        for key in keys {
            let query = sqlx::query(THIS).bind(&key.rule).bind(&key.key);
            let kept = query.fetch_optional(&mut *self.0).await?.as_ref().map(group).transpose()?;
            found.insert(key.clone(), kept.unwrap_or_else(|| Group::new(key.clone())));
        }
        Ok(found)
    }

    async fn put_groups(&mut self, groups: &[Group]) -> Result<(), StoreError> {
        for group in groups {
            sqlx::query(PUT)
                .bind(&group.id.rule)
                .bind(&group.id.key)
                .bind(group.due.map(Timestamp::as_micros))
                .bind(group.told.map(Timestamp::as_micros))
                .bind(&group.waiting)
                .execute(&mut *self.0)
                .await?;
        }
        self.1.tells();
        Ok(())
    }

    async fn due_groups(&mut self, now: Timestamp, most: u32) -> Result<Vec<Group>, StoreError> {
        let query = sqlx::query(DUE).bind(now.as_micros()).bind(i64::from(most));
        query.fetch_all(&mut *self.0).await?.iter().map(group).collect()
    }
}

fn group(row: &SqliteRow) -> Result<Group, StoreError> {
    let time = |index| Ok::<_, StoreError>(row.try_get::<Option<i64>, _>(index)?.map(Timestamp::from_micros));
    Ok(Group {
        id: GroupKey { rule: row.try_get(0)?, key: row.try_get(1)? },
        due: time(2)?,
        told: time(3)?,
        waiting: row.try_get(4)?,
    })
}
