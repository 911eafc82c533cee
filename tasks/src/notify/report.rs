//! What is told: facts about a run, and the words for them if the project has none of its own.

use minijinja::value::Serde;
use serde::{Deserialize, Serialize};
use serde_json::json;
use updraft_task::{Context, Sibling, TaskRunState};

/// Failed tasks that are remembered with a state.
const REMEMBERED_TASKS: usize = 10;

/// What a channel was told last.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Told {
    pub(super) state: String,
    pub(super) run: String,
    #[serde(default)]
    logical_date: Option<String>,
    /// `load (Network)`, the first ones.
    #[serde(default)]
    failed: Vec<String>,
}

/// What one channel is told of a run.
pub(super) struct Report<'a> {
    pub(super) state: &'a str,
    /// What the channel was told last.
    pub(super) before: Option<&'a Told>,
    pub(super) tasks: &'a [Sibling],
    pub(super) text: Option<&'a str>,
    pub(super) ctx: &'a Context,
}

/// Whether a task's own failure made the run worse.
pub(super) const fn is_failed(sibling: &Sibling) -> bool {
    matches!(sibling.state, TaskRunState::Failed | TaskRunState::Cancelled)
}

impl Report<'_> {
    pub(super) fn workflow(&self) -> &str {
        &self.ctx.run().workflow
    }

    pub(super) fn run(&self) -> String {
        self.ctx.run().run_id.to_string()
    }

    pub(super) fn logical_date(&self) -> String {
        self.ctx.run().logical_at.to_string()
    }

    /// The state told before, if it was another one.
    pub(super) fn previous(&self) -> Option<&Told> {
        self.before.filter(|told| told.state != self.state)
    }

    /// `opensky_data_pipeline succeeded, was failed`.
    pub(super) fn headline(&self) -> String {
        let was = self.previous().map(|told| format!(", was {}", told.state)).unwrap_or_default();
        format!("{} {}{was}", self.workflow(), self.state)
    }

    /// What the run recovers from, or what was before.
    pub(super) fn change(&self) -> Option<String> {
        let told = self.previous()?;
        let verb = if self.state == "succeeded" { "recovers from" } else { "comes after" };
        let date = told.logical_date.as_ref().map(|date| format!("logical date {date}, ")).unwrap_or_default();
        let tasks = if told.failed.is_empty() { String::new() } else { format!(": {}", told.failed.join(", ")) };
        Some(format!("{verb} {} ({date}run {}){tasks}", told.state, told.run))
    }

    /// The message if the project has no template.
    pub(super) fn words(&self) -> String {
        let first =
            format!("{} {} · logical date {} · run {}", self.workflow(), self.state, self.logical_date(), self.run());
        let mut lines = vec![first];
        lines.extend(self.change());
        lines.extend(self.text.map(str::to_owned));
        for sibling in self.tasks {
            if let Some((class, message)) = &sibling.error {
                lines.push(format!("{}: {} ({class}): {message}", sibling.task, sibling.state));
            }
        }
        lines.join("\n")
    }

    /// What is remembered once it was told.
    pub(super) fn told(&self) -> Told {
        let class = |sibling: &Sibling| sibling.error.as_ref().map(|(class, _)| format!(" ({class})"));
        let failed = self.tasks.iter().filter(|sibling| is_failed(sibling)).take(REMEMBERED_TASKS);
        Told {
            state: self.state.to_owned(),
            run: self.run(),
            logical_date: Some(self.logical_date()),
            failed: failed.map(|it| format!("{}{}", it.task, class(it).unwrap_or_default())).collect(),
        }
    }

    /// The names that templates read; none of them holds anything of a connection.
    pub(super) fn names(&self) -> Serde<serde_json::Value> {
        let tasks: Vec<_> = self
            .tasks
            .iter()
            .map(|sibling| {
                let (class, message) = sibling.error.as_ref().map(|(class, message)| (class, message)).unzip();
                json!({
                    "id": sibling.task, "state": sibling.state.to_string(), "allow_failure": sibling.allow_failure,
                    "error_class": class, "error": message,
                    "duration_s": sibling.duration.map(|duration| duration.as_secs_f64()),
                })
            })
            .collect();
        let previous = self.previous();
        Serde(json!({
            "workflow": self.workflow(), "state": self.state, "run": self.run(), "logical_date": self.logical_date(),
            "previous_state": previous.map(|told| &told.state), "previous_run": previous.map(|told| &told.run),
            "change": self.change(), "text": self.text, "tasks": tasks,
        }))
    }
}
