//! The thread that owns the registry: wishes that wait together become one transaction, and are answered when it is on disk.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::clock::Clock;
use crate::registry::{Outcome, Registry, Wish};

/// Wishes that may wait; whose wish finds no room is told to come back.
const WAITING: usize = 256;

/// A wish, and who waits for what comes of it.
pub(crate) type RegistryWish = (Wish, oneshot::Sender<Outcome>);

/// Starts the thread. It ends when nobody is left who could wish.
pub(super) fn start(
    mut registry: Registry,
    clock: Clock,
) -> std::io::Result<(SyncSender<RegistryWish>, JoinHandle<()>)> {
    let (sender, wishes): (_, Receiver<RegistryWish>) = sync_channel(WAITING);
    let thread = std::thread::Builder::new().name("registry".into()).spawn(move || {
        while let Ok(first) = wishes.recv() {
            let (batch, waiting): (Vec<Wish>, Vec<_>) =
                std::iter::once(first).chain(wishes.try_iter().take(WAITING)).unzip();
            for (outcome, answer) in registry.fulfil(&batch, clock.now()).into_iter().zip(waiting) {
                // Who has left does not want to know.
                let _ = answer.send(outcome);
            }
        }
    })?;
    Ok((sender, thread))
}
