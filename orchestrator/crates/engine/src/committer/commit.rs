//! One batch from items to its answer.

use std::collections::HashMap;
use std::sync::Arc;

use updraft_model::id::{AttemptId, RunId};
use updraft_model::input::Input;
use updraft_model::record::WorkRow;
use updraft_model::run::Run;
use updraft_model::state::Place;
use updraft_store::{Batch, Committed, Pick, Refusal, StoreError};

use super::build::{self, Part, StepError};
use super::command::{Create, Finish, Item};
use super::{Committer, Job};
use crate::cache::CachedRun;
use crate::error::EngineError;
use crate::event::EngineEvent;
use crate::shared::{locked, new_attempt, new_stamp};

/// A batch with what it was made from, so that it can be made again.
struct Built {
    batch: Batch,
    items: Vec<Item>,
    /// Attempts that the batch claims directly.
    claimed: Vec<AttemptId>,
}

impl Committer {
    /// Commits all of these, in as many batches as the store's answers make necessary.
    pub(super) async fn commit_all(&mut self, items: Vec<Item>) {
        let mut groups = vec![items];
        while let Some(items) = groups.pop() {
            let items = self.without_lanes(items);
            let items = match self.load_all(items).await {
                Ok(items) => items,
                Err((items, error)) => {
                    groups.push(self.postpone(items, "loading runs", &error).await);
                    continue;
                }
            };
            let built = self.build(items);
            if built.batch.runs.is_empty() {
                self.drive_lanes().await;
                continue;
            }
            let store = Arc::clone(&self.shared.config.store);
            match store.commit(&built.batch).await {
                Ok(Committed::Applied { picked }) => self.applied(built, picked).await,
                Ok(Committed::Refused { runs, worker_inactive }) => {
                    if worker_inactive {
                        self.no_claims = true;
                        self.shared.claims_refused.store(true, std::sync::atomic::Ordering::Release);
                        self.shared.beat_wanted.notify_one();
                    }
                    let items = self.undo(built);
                    groups.push(self.refused(items, &runs).await);
                }
                Err(error) => self.failed(built, error, &mut groups).await,
            }
            self.drive_lanes().await;
        }
    }

    /// Results of runs that are in a lane go there.
    fn without_lanes(&mut self, items: Vec<Item>) -> Vec<Item> {
        if self.lanes.is_empty() {
            return items;
        }
        let mut rest = Vec::with_capacity(items.len());
        for item in items {
            match item {
                Item::Finish(finish) if self.lanes.holds(finish.run_id) => self.lanes.add(*finish),
                item => rest.push(item),
            }
        }
        rest
    }

    fn build(&mut self, items: Vec<Item>) -> Built {
        let now = self.shared.now();
        let worker_no = self.shared.worker_no();
        let mut parts: Vec<(RunId, Part)> = Vec::new();
        let mut index: HashMap<RunId, usize> = HashMap::new();
        let mut kept = Vec::with_capacity(items.len());
        for item in items {
            let run_id = item.run_id();
            let step = match &item {
                Item::Finish(finish) => {
                    let Some(cached) = self.cache.get_mut(&run_id) else {
                        self.drop_finish(finish, "its run cannot be loaded");
                        continue;
                    };
                    let at = *index.entry(run_id).or_insert_with(|| {
                        parts.push((run_id, Part::at(&cached.run)));
                        parts.len() - 1
                    });
                    parts[at].1.finish(&mut cached.run, finish, Some(worker_no), now)
                }
                Item::Create(create) => match self.create(create, now) {
                    Ok(part) => {
                        index.insert(run_id, parts.len());
                        parts.push((run_id, part));
                        Ok(())
                    }
                    Err(error) => Err(error),
                },
            };
            match step {
                Ok(()) => kept.push(item),
                Err(error) => self.not_stepped(item, error),
            }
        }
        let mut runs = Vec::with_capacity(parts.len());
        for (run_id, part) in parts {
            // A panic evicted it, or every result was dropped.
            let Some(cached) = self.cache.get_mut(&run_id).filter(|_| !part.events.is_empty()) else { continue };
            runs.push(part.close(&cached.run, new_stamp(), format!("worker:{worker_no}"), now));
        }
        kept.retain(|item| runs.iter().any(|run| run.run_id == item.run_id()) || self.lanes.holds(item.run_id()));
        let mut batch = Batch { worker_no, at: now, runs, pick: None };
        let claimed = self.claim_in(&mut batch);
        Built { batch, items: kept, claimed }
    }

    fn create(&mut self, create: &Create, now: updraft_model::time::Timestamp) -> Result<Part, StepError> {
        let compiled = Arc::clone(&create.plan.compiled);
        let mut run = Run::unborn(compiled, create.facts.clone(), self.limits());
        let mut part = Part::new_run(create.facts.clone());
        let conf_sha256 = updraft_model::canonical::sha256_hex(create.facts.conf.as_bytes());
        let input = Input::Create { by: create.by.clone(), conf_sha256, only: create.only.clone() };
        part.step(&mut run, input, now)?;
        part.step(&mut run, Input::Start, now)?;
        let info = Arc::new(super::load::run_info(&self.shared.config, &run));
        let cached = CachedRun { run, plan: Arc::clone(&create.plan), info };
        let bytes = cached.bytes();
        self.cache.insert(create.facts.run_id, cached, bytes);
        Ok(part)
    }

    /// A step that the model did not take.
    fn not_stepped(&mut self, item: Item, error: StepError) {
        match (item, error) {
            // What is cached may be behind: only a lane, which reads the run under its lock, drops a result.
            (Item::Finish(finish), StepError::Reject(_)) => self.lanes.add(*finish),
            (Item::Create(mut create), StepError::Reject(reject)) => {
                let run_id = create.facts.run_id;
                self.forget(run_id);
                answer(&mut create, Err(EngineError::Rejected { run_id, reject }));
            }
            (Item::Finish(finish), StepError::Panic(text)) => {
                let run_id = finish.run_id;
                self.cache.remove(&run_id);
                let strikes = self.strikes.entry(run_id).or_insert(0);
                *strikes += 1;
                self.shared.warn(Some(run_id), format!("deciding panicked ({strikes}. time): {text}"));
                if *strikes >= 3 {
                    let job = Job::Break { code: "decide_panicked".to_owned(), detail: text };
                    self.shared.command(super::Command::Lane(run_id, job, None));
                    self.drop_finish(&finish, "its run is set aside");
                } else {
                    self.waiting.push_back(Item::Finish(finish));
                }
            }
            (Item::Create(mut create), StepError::Panic(detail)) => {
                let run_id = create.facts.run_id;
                self.forget(run_id);
                answer(&mut create, Err(EngineError::Broken { run_id, detail }));
            }
        }
    }

    /// Claims in the batch itself: new rows that beat what is known of their queue, best first, then ready ones.
    fn claim_in(&mut self, batch: &mut Batch) -> Vec<AttemptId> {
        let mut free = self.free_slots();
        let mut claimed = Vec::new();
        let mut ready: Vec<(i64, usize, usize)> = Vec::new();
        for (at, run) in batch.runs.iter().enumerate() {
            for (row_at, row) in run.work.iter().enumerate() {
                match row.place {
                    Place::Ready => ready.push((row.rank, at, row_at)),
                    Place::Timer => {
                        if let Some(due) = row.due_at {
                            self.shared.timer_at(due);
                        }
                    }
                    Place::Executing | Place::Polled | Place::Gated | Place::Waiting => {}
                }
            }
        }
        ready.sort_by_key(|(rank, ..)| *rank);
        let best_before = self.heads.best().map(str::to_owned);
        for (_, at, row_at) in ready {
            let row = &mut batch.runs[at].work[row_at];
            if free > 0 && self.heads.beats(row) {
                free -= 1;
                let attempt_id = new_attempt();
                build::claim(row, batch.worker_no, attempt_id, batch.at);
                if let Some(cached) = self.cache.get_mut(&row.run_id) {
                    let owned = crate::attempt::owned_of(&self.shared, cached, row);
                    locked(&self.shared.owned).insert(attempt_id, owned);
                }
                claimed.push(attempt_id);
            }
        }
        if free > 0
            && let Some(queue) = best_before
        {
            batch.pick = Some(Pick { queue, attempts: (0..free).map(|_| new_attempt()).collect() });
        }
        claimed
    }

    /// The batch is durable.
    async fn applied(&mut self, built: Built, picked: Vec<WorkRow>) {
        self.failures = 0;
        if let Some(pick) = &built.batch.pick {
            self.heads.claimed(&pick.queue, pick.attempts.len(), &picked);
        }
        let listened = self.shared.events.receiver_count() > 0;
        let mut to_start = Vec::with_capacity(built.claimed.len() + picked.len());
        for item in built.items {
            match item {
                Item::Finish(finish) => self.accepted(*finish),
                Item::Create(mut create) => {
                    self.watch_timeout(&create);
                    answer(&mut create, Ok(()));
                }
            }
        }
        for commit in built.batch.runs {
            let run_id = commit.run_id;
            if listened {
                commit
                    .events
                    .iter()
                    .filter_map(|event| EngineEvent::of(run_id, event))
                    .for_each(|e| self.shared.tell(e));
            }
            for row in commit.work {
                match row.place {
                    Place::Executing => to_start.push(row),
                    // After what the pick found: the pick did not see these.
                    Place::Ready => self.heads.added(&row),
                    Place::Timer | Place::Polled | Place::Gated | Place::Waiting => {}
                }
            }
            let Some(mut cached) = self.cache.remove(&run_id) else { continue };
            cached.run.committed(commit.stamp);
            self.after_commit(run_id, &cached.run);
            let over = cached.run.projection().state.is_final();
            let bytes = cached.bytes();
            self.cache.insert(run_id, cached, bytes);
            if over {
                self.forget(run_id);
            }
        }
        to_start.extend(picked);
        self.start(to_start).await;
    }

    /// A result is in the store for good.
    pub(super) fn accepted(&mut self, finish: Finish) {
        self.shared.disown(finish.attempt_id);
        if finish.spooled {
            self.unspool(finish.run_id, finish.attempt_id);
        }
        if let Some((text, value)) = finish.output
            && self.open.get(&finish.run_id).is_some_and(|(_, plan)| plan.reads_outputs())
        {
            self.shared.outputs.put(finish.run_id, finish.key, finish.dispatch_no, value, text.len());
        }
    }

    /// A result is not wanted: somebody else decided about its task run.
    pub(super) fn drop_finish(&mut self, finish: &Finish, why: &str) {
        self.shared.warn(Some(finish.run_id), build::dropped(finish.run_id, &finish.key, finish.dispatch_no, why));
        self.shared.disown(finish.attempt_id);
        if finish.spooled {
            self.unspool(finish.run_id, finish.attempt_id);
        }
    }

    /// Nothing of it was written: forgets what it made of the caches and gives its items back.
    fn undo(&mut self, built: Built) -> Vec<Item> {
        for commit in &built.batch.runs {
            self.cache.remove(&commit.run_id);
        }
        for attempt in built.claimed {
            self.shared.disown(attempt);
        }
        built.items
    }

    /// Sorts items after a refusal; answers those to send again.
    async fn refused(&mut self, items: Vec<Item>, refusals: &[(RunId, Refusal)]) -> Vec<Item> {
        let mut again = Vec::with_capacity(items.len());
        for item in items {
            let refusal = refusals.iter().find(|(run_id, _)| *run_id == item.run_id()).map(|(_, refusal)| refusal);
            match (item, refusal) {
                (item, None) => again.push(item),
                (Item::Finish(finish), Some(Refusal::Fenced(keys))) if keys.contains(&finish.key) => {
                    self.drop_finish(&finish, "the store no longer knows this attempt as ours (fenced)");
                }
                (item @ Item::Finish(_), Some(Refusal::Fenced(_))) => again.push(item),
                (Item::Finish(finish), Some(Refusal::Contended | Refusal::KeyTaken)) => self.lanes.add(*finish),
                (Item::Create(mut create), Some(Refusal::KeyTaken | Refusal::Contended | Refusal::Fenced(_))) => {
                    let run_key = create.facts.run_key.clone();
                    self.forget(create.facts.run_id);
                    answer(&mut create, Err(EngineError::KeyTaken(run_key)));
                }
            }
        }
        self.drive_lanes().await;
        again
    }

    /// The commit failed: what follows depends on what the error says about the data (F8, F9).
    async fn failed(&mut self, built: Built, error: StoreError, groups: &mut Vec<Vec<Item>>) {
        match error {
            StoreError::UnknownOutcome(_) => {
                let runs: Vec<_> = built.batch.runs.iter().map(super::trouble::Identity::of).collect();
                if self.was_applied(&runs, &error).await {
                    let attempts = built.batch.pick.as_ref().map_or(&[][..], |pick| &pick.attempts);
                    let picked = self.claimed_rows(attempts).await;
                    self.applied(built, picked).await;
                } else {
                    let items = self.undo(built);
                    groups.push(self.keep(items));
                }
            }
            StoreError::Unavailable(_)
            | StoreError::Conflict(_)
            | StoreError::Full(_)
            | StoreError::Held { .. }
            | StoreError::Schema(_)
            | StoreError::ReadOnly(_) => {
                let items = self.undo(built);
                groups.push(self.postpone(items, "committing results", &error).await);
            }
            StoreError::Rejected(_) | StoreError::Inconsistent { .. } | StoreError::NoRun(_) | StoreError::Other(_) => {
                let runs = built.batch.runs.len();
                let items = self.undo(built);
                if runs > 1 {
                    groups.extend(halves(items));
                } else {
                    self.guilty(items, error).await;
                }
            }
        }
    }
}

/// Cuts a batch between runs.
fn halves(items: Vec<Item>) -> [Vec<Item>; 2] {
    let mut order: Vec<RunId> = Vec::new();
    for item in &items {
        if !order.contains(&item.run_id()) {
            order.push(item.run_id());
        }
    }
    let first = &order[..order.len() / 2];
    let (a, b) = items.into_iter().partition(|item| first.contains(&item.run_id()));
    [a, b]
}

/// Answers who asked for a run.
pub(super) fn answer(create: &mut Create, result: Result<(), EngineError>) {
    if let Some(reply) = create.reply.take() {
        let _ = reply.send(result);
    }
}
