//! What takes a while is found out before the transaction, of the events that are handled in it, whatever became of an earlier try.

use super::*;

/// Notes what it prepared, and refuses one event as often as it is told to.
#[derive(Clone)]
struct Asking {
    shared: Shared,
    refuses: Arc<std::sync::Mutex<Option<u64>>>,
}

fn positions(events: &[Delivered]) -> Vec<u64> {
    events.iter().map(|event| event.event.position).collect()
}

#[async_trait]
impl Handler<Tx> for Asking {
    type Prepared = Vec<u64>;

    fn name(&self) -> &'static str {
        "asking"
    }
    fn topics(&self) -> &[Topic] {
        &[Topic::SensorEvents]
    }
    async fn prepare(&self, events: &[Delivered]) -> Result<Vec<u64>, HandlerError> {
        let open = self.shared.with(|table| table.begun - table.committed);
        if open == 0 { Ok(positions(events)) } else { Err(HandlerError::Retry("in a transaction".into())) }
    }
    async fn handle(
        &self,
        tx: &mut Tx,
        events: &[Delivered],
        prepared: Vec<u64>,
    ) -> Result<(), HandlerError> {
        assert_eq!(prepared, positions(events));
        let refused = *self.refuses.lock().expect("no test panics with it");
        if let Some(position) = refused.filter(|position| prepared.contains(position)) {
            // This transaction never was: it is not open any more.
            self.shared.with(|table| table.committed += 1);
            return Err(HandlerError::Reject { position, source: "poison".into() });
        }
        tx.handled.extend(prepared);
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_handled_was_prepared_before_its_transaction() {
    let shared = Shared::default();
    let refuses = Arc::new(std::sync::Mutex::new(Some(2)));
    let handler = Asking { shared: shared.clone(), refuses: refuses.clone() };
    let records = vec![keyed(1, "a"), keyed(2, "b"), keyed(3, "a")];
    let consumer = Consumer::new(Arc::new(ScriptedBus::new(records)), shared.clone(), handler, EPOCH);
    let running = tokio::spawn(consumer.run(std::future::pending()));
    until(&shared, all_handled(3)).await;
    assert_eq!((handled(&shared), offsets(&shared)), (vec![1, 3], vec![(2, true)]));
    *refuses.lock().expect("no test panics with it") = None;
    shared.with(|table| table.redrive = true);
    until(&shared, |table| table.letters.is_empty()).await;
    assert_eq!(handled(&shared), [1, 3, 2], "a redrive prepares as well");
    running.abort();
}
