//! What may be concluded from looks at the workers: a pure function of what one unbroken session has seen (F35).
//!
//! Absence of a worker's lock is evidence of its process's death or of a cut network: it makes a suspect. Its lease's end,
//! with some grace, makes it dead. Whoever looks must itself have been able to look all the time; and when many seem to be
//! gone at once, it is more likely the database that was away.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use updraft_model::id::WorkerNo;
use updraft_model::time::Timestamp;
use updraft_store::schema::LEASE_MS;
use updraft_store::{Look, Peer, WorkerState};

use crate::config::Watch;

/// The store's clock and ours may drift apart this far between two looks before the session's evidence is dropped.
const CLOCK_JUMP: Duration = Duration::from_secs(5);
/// More suspects than this, and more than this share, at once: hold fire.
const MANY: usize = 2;
const MANY_SHARE: usize = 5;

/// What is to be done about a worker.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Verdict {
    /// No sign of life: what may be done twice is done elsewhere.
    Suspect(Peer, Timestamp),
    /// Its lease has run out, or its death is proved: everything is done elsewhere.
    Dead(Peer, Timestamp),
    /// Judged before, and it still holds rows.
    Sweep(Peer, Timestamp),
}

/// See the module.
pub(crate) struct Observer {
    watch: Watch,
    session: Option<Session>,
    held_until: Option<Instant>,
}

struct Session {
    number: u64,
    since: Instant,
    last: (Instant, Timestamp),
    absent: HashMap<WorkerNo, Instant>,
    /// When a worker's lock was last seen, by the store's clock.
    seen: HashMap<WorkerNo, Timestamp>,
}

impl Observer {
    pub(crate) fn new(watch: Watch) -> Self {
        Self { watch, session: None, held_until: None }
    }

    /// A look could not be made: what was seen before is no evidence any more.
    pub(crate) fn blind(&mut self) {
        self.session = None;
    }

    /// Judges what a look shows, except about the one who looks.
    pub(crate) fn judge(&mut self, at: Instant, look: &Look, own: WorkerNo) -> Vec<Verdict> {
        let unbroken = self.session.take().filter(|session| {
            let passed = at.duration_since(session.last.0);
            let theirs = look.now.since(session.last.1);
            session.number == look.session
                && passed <= self.watch.settle
                && passed.abs_diff(theirs) <= CLOCK_JUMP
                && look.now >= session.last.1
        });
        let mut session = unbroken.unwrap_or_else(|| Session {
            number: look.session,
            since: at,
            last: (at, look.now),
            absent: HashMap::new(),
            seen: HashMap::new(),
        });
        session.last = (at, look.now);
        let settled = look.certain || at.duration_since(session.since) >= self.watch.settle;
        let mut verdicts = Vec::new();
        let mut serving = 0_usize;
        for peer in &look.peers {
            if peer.alive == Some(true) {
                session.absent.remove(&peer.worker_no);
                session.seen.insert(peer.worker_no, look.now);
            }
            let last_seen = session.seen.get(&peer.worker_no).copied().unwrap_or_default().max(peer.last_seen());
            if peer.worker_no == own {
                continue;
            }
            match peer.state {
                WorkerState::Dead | WorkerState::Gone => {
                    if peer.busy > 0 {
                        verdicts.push(Verdict::Sweep(peer.clone(), last_seen));
                    }
                    continue;
                }
                WorkerState::Active | WorkerState::Draining | WorkerState::Suspect => serving += 1,
            }
            let absent_for = (peer.alive == Some(false))
                .then(|| at.duration_since(*session.absent.entry(peer.worker_no).or_insert(at)));
            let proved = look.certain && absent_for.is_some();
            let over = look.now > peer.lease_until + self.watch.grace;
            if proved || (over && settled) {
                verdicts.push(Verdict::Dead(peer.clone(), last_seen));
            } else if peer.state == WorkerState::Suspect {
                if peer.busy > 0 {
                    verdicts.push(Verdict::Sweep(peer.clone(), last_seen));
                }
            } else if settled && absent_for.is_some_and(|absent| absent >= self.watch.absent) {
                verdicts.push(Verdict::Suspect(peer.clone(), last_seen));
            }
        }
        session.absent.retain(|worker_no, _| look.peers.iter().any(|peer| peer.worker_no == *worker_no));
        session.seen.retain(|worker_no, _| look.peers.iter().any(|peer| peer.worker_no == *worker_no));
        self.session = Some(session);
        if !look.certain {
            self.hold_fire(at, serving + 1, &mut verdicts);
        }
        verdicts
    }

    /// Many at once: waits one lease first.
    fn hold_fire(&mut self, at: Instant, serving: usize, verdicts: &mut Vec<Verdict>) {
        let accused = verdicts
            .iter()
            .filter(|verdict| match verdict {
                Verdict::Suspect(..) | Verdict::Dead(..) => true,
                Verdict::Sweep(..) => false,
            })
            .count();
        if accused <= MANY || accused * MANY_SHARE <= serving {
            if accused == 0 {
                self.held_until = None;
            }
            return;
        }
        let until = *self.held_until.get_or_insert(at + Duration::from_millis(LEASE_MS.unsigned_abs()));
        if at < until {
            verdicts.retain(|verdict| match verdict {
                Verdict::Sweep(..) => true,
                Verdict::Suspect(..) | Verdict::Dead(..) => false,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use updraft_store::WorkerInfo;

    use super::*;

    const OWN: WorkerNo = WorkerNo(1);

    fn peer(no: i64, alive: Option<bool>, lease_ms: i64) -> Peer {
        Peer {
            worker_no: WorkerNo(no),
            info: WorkerInfo {
                name: format!("host/{no}"),
                host: "host".to_owned(),
                pid: 1,
                build: String::new(),
                queues: Vec::new(),
                slots: 1,
            },
            state: WorkerState::Active,
            lease_until: Timestamp::from_millis(lease_ms),
            alive,
            busy: 1,
        }
    }

    /// A sequence of looks, one a second.
    struct Looks {
        observer: Observer,
        began: Instant,
        second: u64,
        session: u64,
    }

    impl Looks {
        fn new() -> Self {
            Self { observer: Observer::new(Watch::default()), began: Instant::now(), second: 0, session: 1 }
        }

        fn look(&mut self, peers: &[Peer]) -> Vec<Verdict> {
            self.second += 1;
            let look = Look {
                session: self.session,
                peers: peers.to_vec(),
                now: Timestamp::from_millis(i64::try_from(self.second).unwrap() * 1000),
                certain: false,
            };
            self.observer.judge(self.began + Duration::from_secs(self.second), &look, OWN)
        }

        /// Seconds of looks until something is said.
        fn until(&mut self, peers: &[Peer], limit: u64) -> Option<(u64, Vec<Verdict>)> {
            (1..=limit).find_map(|second| {
                let verdicts = self.look(peers);
                (!verdicts.is_empty()).then_some((second, verdicts))
            })
        }
    }

    #[test]
    fn a_lock_absent_for_five_seconds_makes_a_suspect_once_the_session_has_settled() {
        let mut looks = Looks::new();
        assert_eq!(looks.until(&[peer(2, Some(true), 1_000_000)], 20), None);
        let (second, verdicts) = looks.until(&[peer(2, Some(false), 1_000_000)], 20).unwrap();
        assert_eq!(second, 6, "two looks five seconds apart");
        assert!(matches!(&verdicts[..], [Verdict::Suspect(peer, seen)]
            if peer.worker_no == WorkerNo(2) && *seen == Timestamp::from_millis(960_000)));
        let mut young = Looks::new();
        let (second, _) = young.until(&[peer(2, Some(false), 1_000_000)], 30).unwrap();
        assert_eq!(second, 16, "a session accuses nobody before it is 15 s old");
    }

    #[test]
    fn a_new_session_begins_anew_and_so_does_a_clock_that_jumped_or_a_pause() {
        let mut looks = Looks::new();
        looks.until(&[peer(2, Some(true), 1_000_000)], 20);
        looks.session += 1;
        assert_eq!(looks.until(&[peer(2, Some(false), 1_000_000)], 15), None);
        assert!(looks.until(&[peer(2, Some(false), 1_000_000)], 2).is_some());
        let mut looks = Looks::new();
        looks.until(&[peer(2, Some(true), 1_000_000)], 20);
        looks.began += Duration::from_secs(30);
        assert_eq!(looks.until(&[peer(2, Some(false), 1_000_000)], 15), None);
        let mut looks = Looks::new();
        looks.until(&[peer(2, Some(true), 1_000_000)], 20);
        looks.observer.blind();
        assert_eq!(looks.until(&[peer(2, Some(false), 1_000_000)], 15), None);
    }

    #[test]
    fn a_flicker_is_no_evidence() {
        let mut looks = Looks::new();
        looks.until(&[peer(2, Some(true), 1_000_000)], 20);
        for _ in 0..10 {
            assert_eq!(looks.until(&[peer(2, Some(false), 1_000_000)], 4), None);
            assert_eq!(looks.until(&[peer(2, Some(true), 1_000_000)], 1), None);
        }
    }

    #[test]
    fn a_lease_that_ran_out_is_decisive_whatever_the_lock_says() {
        let mut stopped = Looks::new();
        let (_, verdicts) = stopped.until(&[peer(2, Some(true), 1)], 40).unwrap();
        assert!(matches!(&verdicts[..], [Verdict::Dead(..)]), "a stopped process holds its lock for ever");
        let mut looks = Looks::new();
        assert_eq!(looks.until(&[peer(2, None, 5_000)], 15), None);
        let (_, verdicts) = looks.until(&[peer(2, None, 5_000)], 3).unwrap();
        assert!(matches!(&verdicts[..], [Verdict::Dead(..)]));
    }

    #[test]
    fn a_suspect_is_swept_and_dies_with_its_lease() {
        let mut looks = Looks::new();
        looks.until(&[peer(2, Some(true), 30_000)], 20);
        let suspect = Peer { state: WorkerState::Suspect, ..peer(2, Some(false), 30_000) };
        assert!(matches!(&looks.look(std::slice::from_ref(&suspect))[..], [Verdict::Sweep(..)]));
        assert!(looks.look(&[Peer { busy: 0, ..suspect.clone() }]).is_empty());
        let all: Vec<Verdict> = (0..20).flat_map(|_| looks.look(std::slice::from_ref(&suspect))).collect();
        assert!(all.iter().any(|verdict| matches!(verdict, Verdict::Dead(..))));
    }

    #[test]
    fn many_at_once_are_given_one_more_lease() {
        let all = |alive| (2..6).map(|no| peer(no, Some(alive), 1_000_000)).collect::<Vec<_>>();
        let mut looks = Looks::new();
        looks.until(&all(true), 20);
        let (second, verdicts) = looks.until(&all(false), 100).unwrap();
        assert_eq!((second, verdicts.len()), (46, 4));
        let mut looks = Looks::new();
        looks.until(&all(true), 20);
        let mut two = all(true);
        two[0].alive = Some(false);
        two[1].alive = Some(false);
        assert_eq!(looks.until(&two, 100).unwrap().0, 6, "two are few");
    }

    #[test]
    fn who_owns_the_store_alone_needs_no_patience() {
        let mut observer = Observer::new(Watch::default());
        let look = Look {
            session: 1,
            peers: vec![peer(2, Some(false), 1_000_000), peer(1, Some(true), 1)],
            now: Timestamp::from_millis(5),
            certain: true,
        };
        assert!(matches!(&observer.judge(Instant::now(), &look, OWN)[..], [Verdict::Dead(..)]));
    }
}
