//! The reader of the past: rows of datafiles for parents of ours, read on a thread of its own, so that no shard waits for a
//! disk.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use dbengine::{Directory, Samples};
use tokio::sync::mpsc;

use super::SharedFiles;
use crate::query::Tier;
use crate::sender::{Answered, PastWish};
use crate::shard::message::Message;
use crate::shard::placement::ShardId;
use crate::web::Storage;

/// Wishes that may wait; a shard whose wish finds no room comes again in its next turn.
const WAITING: usize = 1024;
/// Windows follow each other: a page is needed once or twice.
const CACHE_BYTES: u64 = 4 << 20;

pub(super) type PastSender = SyncSender<(ShardId, PastWish)>;

/// Where shards put their wishes, and where they come out.
pub(super) fn channel() -> (PastSender, Receiver<(ShardId, PastWish)>) {
    sync_channel(WAITING)
}

/// Starts the thread. It ends when no shard is left.
pub(super) fn start(
    wishes: Receiver<(ShardId, PastWish)>,
    shards: Vec<mpsc::Sender<Message>>,
    files: SharedFiles,
    directory: Directory,
) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("past".into()).spawn(move || {
        let mut storage = Storage::new(files, directory, CACHE_BYTES);
        for (shard, wish) in wishes {
            let message = Message::Past(Box::new(answered(&mut storage, wish)));
            // A shard that has ended wants nothing any more.
            let _ = shards[shard.index()].blocking_send(message);
        }
    })
}

fn answered(storage: &mut Storage, wish: PastWish) -> Answered {
    match wish {
        PastWish::Oldest { link, groups } => {
            let oldest = groups.into_iter().filter_map(|(key, in_shard)| {
                let in_shard = in_shard.map(|span| span.first);
                let first = storage.oldest(key).into_iter().chain(in_shard).min()?;
                Some((key, first.0))
            });
            Answered::Oldest { link, oldest: oldest.collect() }
        }
        PastWish::Rows { link, request, window, mut snapshot, columns } => {
            storage.complete(&mut snapshot, Tier::FINEST);
            let span = snapshot.window();
            let column = |column| {
                let mut samples = Samples::default();
                snapshot.column(column, span, &mut samples);
                samples
            };
            Answered::Rows { link, request, window, columns: (0..columns).map(column).collect() }
        }
    }
}
