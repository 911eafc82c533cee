//! Hints between processes over LISTEN and NOTIFY (engine.md F32). Losing one costs latency, never a result: everybody
//! also polls.
//!
//! Sending: in a transaction of its own after the commit, urgent hints (queues, cancels) at once, everything at most
//! every 20 ms. Each says who sent it: a process need not hear that its own runs moved on. Receiving: a connection of its own; any error drops it and builds a new one with growing pauses, and
//! whoever listens is told to look at everything.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::sync::{broadcast, mpsc};
use updraft_model::id::WorkerNo;
use updraft_store::{Counters, Purpose, Wake};
use uuid::Uuid;

use crate::line::Line;

/// Least time between two notifications.
const PACE: Duration = Duration::from_millis(20);
/// Hints in one notification; more become one that says everything.
const HINTS: usize = 200;
/// Hints that a slow reader may be behind before it is told to look at everything.
const BACKLOG: usize = 1024;

/// Takes hints from commits and sends them to the other processes.
pub(crate) struct Notifier(mpsc::UnboundedSender<Wake>);

impl Notifier {
    pub(crate) fn start(line: Arc<Line>, channel: String, sender_id: Uuid, counters: Arc<Counters>) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(send(line, channel, sender_id, counters, receiver));
        Self(sender)
    }

    pub(crate) fn hint(&self, hints: Vec<Wake>) {
        for hint in hints {
            // Its task ends with the store only.
            if self.0.send(hint).is_err() {
                tracing::debug!("a wake-up was not sent: the store is closing");
            }
        }
    }
}

async fn send(
    line: Arc<Line>,
    channel: String,
    sender_id: Uuid,
    counters: Arc<Counters>,
    mut hints: mpsc::UnboundedReceiver<Wake>,
) {
    while let Some(first) = hints.recv().await {
        let mut urgent = is_urgent(&first);
        let mut words = BTreeSet::from([word(&first)]);
        if !urgent {
            tokio::time::sleep(PACE).await;
        }
        while let Ok(next) = hints.try_recv() {
            urgent |= is_urgent(&next);
            words.insert(word(&next));
        }
        let words: Vec<String> = if words.len() > HINTS { vec!["*".to_owned()] } else { words.into_iter().collect() };
        counters.round_trip(Purpose::Poll);
        match notify(&line, &channel, sender_id, &words).await {
            Ok(()) => counters.committed(Purpose::Poll),
            Err(error) => tracing::debug!(%error, "wake-ups were not sent; the other processes find out by polling"),
        }
        if urgent {
            tokio::time::sleep(PACE).await;
        }
    }
}

async fn notify(
    line: &Arc<Line>,
    channel: &str,
    sender_id: Uuid,
    words: &[String],
) -> Result<(), updraft_store::StoreError> {
    let mut lease = line.lease().await?;
    let sent = sqlx::query("SELECT pg_notify($1, $3 || word) FROM unnest($2::text[]) AS words(word)")
        .bind(channel)
        .bind(words)
        .bind(format!("{sender_id} "))
        .execute(&mut lease.connection)
        .await;
    lease.settle(sent).map(|_| ()).map_err(|error| crate::error::plain(&error))
}

fn is_urgent(hint: &Wake) -> bool {
    match hint {
        Wake::Cancel(_) | Wake::Queue(_) | Wake::Followed(_) | Wake::Everything => true,
        Wake::Run(_) => false,
    }
}

fn word(hint: &Wake) -> String {
    match hint {
        Wake::Cancel(worker) => format!("cancel:{worker}"),
        Wake::Queue(queue) => format!("queue:{queue}"),
        Wake::Run(run) => format!("run:{run}"),
        Wake::Followed(run) => format!("log:{run}"),
        Wake::Everything => "*".to_owned(),
    }
}

/// What cannot be read may be anything: a newer build's word.
fn hint(word: &str) -> Wake {
    let read = || {
        let (kind, rest) = word.split_once(':')?;
        match kind {
            "cancel" => Some(Wake::Cancel(WorkerNo(rest.parse().ok()?))),
            "queue" => Some(Wake::Queue(rest.to_owned())),
            "run" => Some(Wake::Run(rest.parse().ok()?)),
            "log" => Some(Wake::Followed(rest.parse().ok()?)),
            _ => None,
        }
    };
    read().unwrap_or(Wake::Everything)
}

/// Reads a notification; nothing if it only says what its own process knows.
fn heard(payload: &str, own_id: Uuid) -> Option<Wake> {
    let (sender, word) = payload.split_once(' ').unwrap_or(("", payload));
    let wake = hint(word);
    let own = sender.parse() == Ok(own_id);
    match wake {
        Wake::Run(_) if own => None,
        Wake::Run(_) | Wake::Cancel(_) | Wake::Queue(_) | Wake::Followed(_) | Wake::Everything => Some(wake),
    }
}

/// Receives hints for everybody in this process who asks.
pub(crate) struct Ear {
    sender: broadcast::Sender<Wake>,
    task: tokio::task::AbortHandle,
}

impl Ear {
    pub(crate) fn open(
        runtime: &tokio::runtime::Handle,
        options: PgConnectOptions,
        channel: String,
        own_id: Uuid,
    ) -> Self {
        let (sender, _) = broadcast::channel(BACKLOG);
        let task = runtime.spawn(listen(options, channel, own_id, sender.clone())).abort_handle();
        Self { sender, task }
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Wake> {
        self.sender.subscribe()
    }

    pub(crate) fn close(&self) {
        self.task.abort();
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.close();
    }
}

async fn listen(options: PgConnectOptions, channel: String, own_id: Uuid, sender: broadcast::Sender<Wake>) {
    let mut pause = Duration::from_millis(100);
    loop {
        match subscribe(&options, &channel).await {
            Ok(mut listener) => {
                pause = Duration::from_millis(100);
                tell(&sender, Wake::Everything);
                // `None` and every error mean the same: this connection is over (sqlx keeps some dead ones inside).
                while let Ok(Some(notification)) = listener.try_recv().await {
                    if let Some(wake) = heard(notification.payload(), own_id) {
                        tell(&sender, wake);
                    }
                }
                tracing::debug!("the connection for wake-ups broke; a new one is opened");
            }
            Err(error) => tracing::debug!(%error, "no connection for wake-ups; polling goes on"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(5));
    }
}

async fn subscribe(options: &PgConnectOptions, channel: &str) -> Result<PgListener, sqlx::Error> {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .max_lifetime(None)
        .idle_timeout(None)
        .acquire_timeout(Duration::from_secs(10))
        .connect_with(options.clone())
        .await?;
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.ignore_pool_close_event(true);
    listener.eager_reconnect(false);
    listener.listen(channel).await?;
    Ok(listener)
}

fn tell(sender: &broadcast::Sender<Wake>, wake: Wake) {
    // An error says that nobody listens at the moment, which is no loss.
    drop(sender.send(wake));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_survive_the_way_through_a_notification() {
        let run = "018f0000-0000-7000-8000-000000000001".parse().unwrap();
        for wake in [
            Wake::Cancel(WorkerNo(3)),
            Wake::Queue("a:b c".to_owned()),
            Wake::Run(run),
            Wake::Followed(run),
            Wake::Everything,
        ] {
            assert_eq!(hint(&word(&wake)), wake);
        }
        assert_eq!(hint("frob:1"), Wake::Everything);
    }

    #[test]
    fn a_process_hears_of_its_own_cancels_and_queues_but_not_that_its_runs_moved_on() {
        let (own, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let run = Wake::Run("018f0000-0000-7000-8000-000000000001".parse().unwrap());
        for (wake, heard_by_itself) in
            [(run, false), (Wake::Cancel(WorkerNo(1)), true), (Wake::Queue("q".into()), true)]
        {
            let payload = format!("{own} {}", word(&wake));
            assert_eq!(heard(&payload, other), Some(wake.clone()));
            assert_eq!(heard(&payload, own), heard_by_itself.then_some(wake));
        }
    }
}
