//! The one thread that starts processes.
//!
//! The kernel sends a child's parent-death signal when the *thread* that started it ends. A test's thread ends
//! before servers it shares with other tests may; this one ends with the process.

use std::io;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Sender};
use std::thread;

type Order = (Command, Sender<io::Result<Child>>);

static SPAWNER: OnceLock<Sender<Order>> = OnceLock::new();

pub(crate) fn spawn(command: Command) -> io::Result<Child> {
    let (reply, answer) = mpsc::channel();
    SPAWNER.get_or_init(start).send((command, reply)).map_err(io::Error::other)?;
    answer.recv().map_err(io::Error::other)?
}

fn start() -> Sender<Order> {
    let (orders, inbox) = mpsc::channel::<Order>();
    thread::spawn(move || {
        for (mut command, reply) in inbox {
            // Nobody listens any more: the child that comes back in the error is not waited for.
            let _ = reply.send(command.spawn());
        }
    });
    orders
}
