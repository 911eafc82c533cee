//! Runs that were made outside the batch path: under their workflow's lock, by this engine.

use std::sync::Arc;

use updraft_model::record::WorkRow;
use updraft_model::state::Place;

use super::Committer;
use crate::event::EngineEvent;
use crate::plan::Plan;
use crate::scheduler::Made;

impl Committer {
    /// It is durable: tells of it, and starts what it claimed for us.
    pub(super) async fn adopt(&mut self, made: Made) {
        let Made { run, work, commit } = made;
        let run_id = run.facts().run_id;
        if self.shared.events.receiver_count() > 0 {
            commit.events.iter().filter_map(|event| EngineEvent::of(run_id, event)).for_each(|e| self.shared.tell(e));
        }
        let version = run.facts().version_id;
        let plan = self.plans.entry(version).or_insert_with(|| Arc::new(Plan::new(Arc::clone(run.compiled()))));
        let plan = Arc::clone(plan);
        self.after_commit(run_id, &run);
        let over = run.projection().state.is_final();
        self.keep_run(run, plan);
        if over {
            self.forget(run_id);
        }
        let mut ours: Vec<WorkRow> = Vec::new();
        for row in work {
            match row.place {
                Place::Executing => ours.push(row),
                Place::Ready => self.heads.added(&row),
                Place::Timer => {
                    if let Some(due) = row.due_at {
                        self.shared.timer_at(due);
                    }
                }
                Place::Polled | Place::Gated | Place::Waiting => {}
            }
        }
        self.start(ours).await;
    }
}
