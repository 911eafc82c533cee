//! Cases of registering, beating, leaving and condemning.

use updraft_model::id::WorkerNo;
use updraft_model::time::Timestamp;

use super::world::{At, World, attempt, work, worker_named};
use crate::{Peer, WorkerState};

async fn peer(world: &World, worker: WorkerNo) -> Option<Peer> {
    world.store.peers().await.expect("peers").into_iter().find(|peer| peer.worker_no == worker)
}

/// Registered: active, with a lease; gone: no longer among the peers.
pub async fn a_worker_is_a_peer_until_it_leaves(world: &World) {
    let before = world.store.beat(world.worker).await.expect("beat").now;
    let worker = world.store.register(&worker_named("second")).await.expect("register");
    assert_ne!(worker, world.worker);
    let seen = peer(world, worker).await.expect("a peer");
    assert_eq!((&seen.info, seen.state), (&worker_named("second"), WorkerState::Active));
    let lease_ms = seen.lease_until.as_millis() - before.as_millis();
    assert!((crate::schema::LEASE_MS..crate::schema::LEASE_MS + 60_000).contains(&lease_ms), "{lease_ms}");
    assert_ne!(seen.alive, Some(false));
    world.store.leave(worker).await.expect("leave");
    assert_eq!(peer(world, worker).await, None);
    assert!(peer(world, world.worker).await.is_some());
    let third = world.store.register(&worker_named("second")).await.expect("register");
    assert!(third > worker, "a number was given twice");
}

/// F7: the beat says what must be running, and the store's clock.
pub async fn a_beat_renews_the_lease_and_lists_what_must_run(world: &World) {
    let first = peer(world, world.worker).await.expect("a peer").lease_until;
    let (_, busy) = world.start_executing().await;
    world.start(|run| vec![work(run, "ready", At::Ready(0), world.now())]).await;
    let beaten = world.store.beat(world.worker).await.expect("beat");
    assert_eq!((beaten.executing, beaten.active), (vec![busy], true));
    let renewed = peer(world, world.worker).await.expect("a peer").lease_until;
    assert!(renewed >= first);
    assert!(renewed.as_millis() <= beaten.now.as_millis() + crate::schema::LEASE_MS);
    let nobody = world.store.beat(WorkerNo(999)).await.expect("beat");
    assert_eq!((nobody.executing, nobody.active), (vec![], false));
}

/// Compare-and-set on what was seen; the condemned hears of it; its rows keep it among the peers.
pub async fn condemning_needs_the_worker_to_look_as_seen(world: &World) {
    let (_, busy) = world.start_executing().await;
    let seen = peer(world, world.worker).await.expect("a peer");
    let renewed = Timestamp::from_millis(seen.lease_until.as_millis() + 1);
    assert!(!world.store.condemn(&Peer { lease_until: renewed, ..seen.clone() }).await.expect("condemn"));
    assert!(!world.store.condemn(&Peer { state: WorkerState::Draining, ..seen.clone() }).await.expect("condemn"));
    assert!(world.store.beat(world.worker).await.expect("beat").active);
    let seen = peer(world, world.worker).await.expect("a peer");
    assert!(world.store.condemn(&seen).await.expect("condemn"));
    assert!(!world.store.condemn(&seen).await.expect("condemn"), "condemned twice");
    let beaten = world.store.beat(world.worker).await.expect("beat");
    assert_eq!((beaten.active, beaten.executing), (false, vec![busy]));
    let dead = peer(world, world.worker).await.expect("it holds a row");
    assert_eq!((dead.state, dead.lease_until), (WorkerState::Dead, seen.lease_until), "the dead renewed its lease");
}

/// Dead or gone with nothing in hand: nobody needs to look at it again.
pub async fn a_dead_worker_without_rows_is_no_peer(world: &World) {
    let idle = world.store.register(&worker_named("idle")).await.expect("register");
    let seen = peer(world, idle).await.expect("a peer");
    assert!(world.store.condemn(&seen).await.expect("condemn"));
    assert_eq!(peer(world, idle).await, None);
    let busy = world.store.register(&worker_named("busy")).await.expect("register");
    world.start(|run| vec![work(run, "a", At::Executing(world.worker, attempt()), world.now())]).await;
    world.store.leave(busy).await.expect("leave");
    world.store.leave(world.worker).await.expect("leave");
    let left = peer(world, world.worker).await.expect("it holds a row");
    assert_eq!(left.state, WorkerState::Gone);
}

/// F34: no claims for a suspect; what it holds stays its own; a beat ends the suspicion; a lease renewed meanwhile too.
pub async fn a_suspect_gets_no_work_until_it_beats_again(world: &World) {
    let (_, busy) = world.start_executing().await;
    world.start(|run| vec![work(run, "ready", At::Ready(0), world.now())]).await;
    let seen = peer(world, world.worker).await.expect("a peer");
    assert_eq!(seen.busy, 1);
    let renewed = Timestamp::from_millis(seen.lease_until.as_millis() + 1);
    assert!(!world.store.suspect(&Peer { lease_until: renewed, ..seen.clone() }).await.expect("suspect"));
    assert!(world.store.suspect(&seen).await.expect("suspect"));
    assert!(!world.store.suspect(&seen).await.expect("suspect"), "suspected twice");
    let suspect = peer(world, world.worker).await.expect("a peer");
    assert_eq!((suspect.state, suspect.busy), (WorkerState::Suspect, 1));
    let claim = async || {
        let ids = [attempt()];
        world.store.claim(world.worker, super::world::QUEUE, &ids, world.now()).await.expect("claim").len()
    };
    assert_eq!(claim().await, 0);
    assert_eq!(world.store.executing(world.worker).await.expect("rows"), vec![busy.clone()]);
    let beaten = world.store.beat(world.worker).await.expect("beat");
    assert_eq!((beaten.active, beaten.executing), (true, vec![busy]));
    assert_eq!(peer(world, world.worker).await.expect("a peer").state, WorkerState::Active);
    assert_eq!(claim().await, 1);
    let look = world.store.look(world.worker).await.expect("look");
    assert_eq!(look.peers, world.store.peers().await.expect("peers"));
    assert_eq!(world.store.look(world.worker).await.expect("look").session, look.session);
    let suspect = peer(world, world.worker).await.expect("a peer");
    assert!(world.store.suspect(&suspect).await.expect("suspect"));
    let suspect = peer(world, world.worker).await.expect("a peer");
    assert!(world.store.condemn(&suspect).await.expect("condemn"));
    assert!(!world.store.beat(world.worker).await.expect("beat").active);
}
