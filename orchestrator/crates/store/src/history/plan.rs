//! How a list of runs is read: which index drives which part of it. Rows of the parts are put together, sorted and cut by
//! the caller; each part is bounded by itself, so a page never costs more than its parts' limits.

use updraft_model::id::RunId;
use updraft_model::state::{RunState, Trigger};
use updraft_model::time::Timestamp;

use super::ask::{RunCursor, RunSort, RunsAsk, WindowBy};

/// A column that runs are sorted or limited by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// `created_at`.
    Created,
    /// `logical_at`.
    Logical,
    /// `ended_at`.
    Ended,
}

/// What a part of a list is read along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Along {
    /// The key: runs named one by one, or by a range of ids.
    Key,
    /// Runs that are not over.
    Open,
    /// A column; of one workflow if the part names one.
    Column(Column),
    /// Runs that ended in one state, by creation; of one workflow if the part names one.
    OverIn(RunState),
}

/// Which runs by id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ids {
    /// From, to, both inside.
    Range(RunId, RunId),
    /// These.
    List(Vec<RunId>),
}

/// One part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its index.
    pub along: Along,
    /// Of these workflows; empty = of any.
    pub workflows: Vec<i64>,
    /// In one of these states; empty = any.
    pub states: Vec<RunState>,
    /// For one of these reasons; empty = any.
    pub triggers: Vec<Trigger>,
    /// With these ids.
    pub ids: Option<Ids>,
    /// Limits: column, not before, before.
    pub window: Option<(Column, Option<Timestamp>, Option<Timestamp>)>,
    /// After this row.
    pub after: Option<RunCursor>,
    /// Order.
    pub sort: RunSort,
    /// At most this many.
    pub limit: u32,
}

/// What a search text means, looked up before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Workflows with such a name.
    pub workflows: Vec<i64>,
    /// Ids that begin so.
    pub ids: Option<(RunId, RunId)>,
    /// Runs with such a note.
    pub noted: Vec<RunId>,
}

/// Workflows that are read one by one along their own indexes; of more, all runs are read and the others passed over.
const ONE_BY_ONE: usize = 16;

impl RunSort {
    /// The column that it sorts by.
    pub fn column(self) -> Column {
        match self {
            Self::NewestCreated | Self::OldestCreated => Column::Created,
            Self::NewestLogical | Self::OldestLogical => Column::Logical,
            Self::NewestEnded => Column::Ended,
        }
    }

    /// Newest first.
    pub fn is_descending(self) -> bool {
        match self {
            Self::NewestCreated | Self::NewestLogical | Self::NewestEnded => true,
            Self::OldestCreated | Self::OldestLogical => false,
        }
    }
}

const OPEN: [RunState; 4] = [RunState::Queued, RunState::Running, RunState::Cancelling, RunState::Broken];
const OVER: [RunState; 3] = [RunState::Succeeded, RunState::Failed, RunState::Cancelled];

/// The parts of a list. `workflow`: the one asked for, by number.
/// `found`: what the search text means, if there is one.
pub fn parts(ask: &RunsAsk, workflow: Option<i64>, found: Option<&Found>) -> Vec<Part> {
    let own: Vec<i64> = workflow.into_iter().collect();
    let base = Part {
        along: Along::Column(ask.sort.column()),
        workflows: own.clone(),
        states: ask.states.clone(),
        triggers: ask.triggers.clone(),
        ids: None,
        window: None,
        after: ask.after,
        sort: ask.sort,
        // One more says whether there is a next page.
        limit: ask.limit.saturating_add(1),
    };
    let Some(found) = found else { return along(ask, &base) };
    let mut parts = Vec::new();
    let among: Vec<i64> = found.workflows.iter().copied().filter(|one| own.is_empty() || own.contains(one)).collect();
    if among.len() > ONE_BY_ONE {
        parts.extend(along(ask, &Part { workflows: among, ..base.clone() }));
    } else {
        for one in among {
            parts.extend(along(ask, &Part { workflows: vec![one], ..base.clone() }));
        }
    }
    let named = [
        found.ids.map(|(first, last)| Ids::Range(first, last)),
        (!found.noted.is_empty()).then(|| Ids::List(found.noted.clone())),
    ];
    for ids in named.into_iter().flatten() {
        for part in along(ask, &base) {
            parts.push(Part { along: Along::Key, ids: Some(ids.clone()), ..part });
        }
    }
    parts
}

/// The parts for one choice of workflows.
fn along(ask: &RunsAsk, base: &Part) -> Vec<Part> {
    let open: Vec<RunState> = ask.states.iter().copied().filter(|state| !state.is_final()).collect();
    let over: Vec<RunState> = ask.states.iter().copied().filter(|state| state.is_final()).collect();
    let any = ask.states.is_empty();
    let windowed = ask.since.is_some() || ask.until.is_some();
    let column = match (windowed, ask.by) {
        (false, _) => ask.sort.column(),
        (true, WindowBy::Created) => Column::Created,
        (true, WindowBy::Logical) => Column::Logical,
        (true, WindowBy::Ended | WindowBy::Happened) => Column::Ended,
    };
    let window = |column| windowed.then_some((column, ask.since, ask.until));
    let ended_only = ask.sort == RunSort::NewestEnded || (windowed && ask.by == WindowBy::Ended);
    let opened = || Part {
        along: Along::Open,
        states: if any { OPEN.to_vec() } else { open.clone() },
        window: window(if column == Column::Ended { Column::Created } else { column }),
        ..base.clone()
    };
    let mut parts = Vec::new();
    match column {
        // Runs that ended in the window, and those under way that were made in it.
        Column::Ended => {
            if any || !over.is_empty() {
                parts.push(Part {
                    along: Along::Column(Column::Ended),
                    states: over,
                    window: window(Column::Ended),
                    ..base.clone()
                });
            }
            if !ended_only && (any || !open.is_empty()) {
                parts.push(opened());
            }
        }
        Column::Logical => {
            let states = match (ended_only, any) {
                (false, _) => ask.states.clone(),
                (true, true) => OVER.to_vec(),
                (true, false) => over,
            };
            if any || !states.is_empty() {
                parts.push(Part { along: Along::Column(column), states, window: window(column), ..base.clone() });
            }
        }
        Column::Created if any && !ended_only => {
            parts.push(Part { along: Along::Column(column), window: window(column), ..base.clone() });
        }
        Column::Created => {
            for state in if any { OVER.to_vec() } else { over } {
                let along = Along::OverIn(state);
                parts.push(Part { along, states: vec![state], window: window(column), ..base.clone() });
            }
            if !ended_only && !open.is_empty() {
                parts.push(opened());
            }
        }
    }
    parts
}

/// The first and the last id that begin with these hex digits (at least four; hyphens are for the eye).
pub fn id_range(prefix: &str) -> Option<(RunId, RunId)> {
    let digits: String = prefix.chars().filter(|letter| *letter != '-').collect();
    if !(4..=32).contains(&digits.len()) || !digits.chars().all(|letter| letter.is_ascii_hexdigit()) {
        return None;
    }
    let first = uuid::Uuid::parse_str(&format!("{digits:0<32}")).ok()?;
    let last = uuid::Uuid::parse_str(&format!("{digits:f<32}")).ok()?;
    Some((RunId(first), RunId(last)))
}

/// A text as part of a `LIKE` pattern with `\` as escape.
pub fn like(text: &str) -> String {
    let mut pattern = String::from("%");
    for letter in text.chars() {
        if matches!(letter, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ways(ask: &RunsAsk) -> Vec<Along> {
        parts(ask, None, None).iter().map(|part| part.along).collect()
    }

    #[test]
    fn every_list_is_read_along_an_index_of_its_own() {
        let at = Some(Timestamp::from_millis(1));
        let ask = |states: &[RunState], sort, since, by| RunsAsk {
            states: states.to_vec(),
            sort,
            since,
            by,
            limit: 10,
            ..RunsAsk::default()
        };
        let newest = RunSort::NewestCreated;
        let happened = WindowBy::Happened;
        assert_eq!(ways(&ask(&[], newest, None, happened)), [Along::Column(Column::Created)]);
        assert_eq!(ways(&ask(&[RunState::Running], newest, None, happened)), [Along::Open]);
        assert_eq!(
            ways(&ask(&[RunState::Failed, RunState::Broken], newest, None, happened)),
            [Along::OverIn(RunState::Failed), Along::Open]
        );
        assert_eq!(ways(&ask(&[], newest, at, happened)), [Along::Column(Column::Ended), Along::Open]);
        assert_eq!(ways(&ask(&[], newest, at, WindowBy::Ended)), [Along::Column(Column::Ended)]);
        assert_eq!(ways(&ask(&[], newest, at, WindowBy::Logical)), [Along::Column(Column::Logical)]);
        assert_eq!(ways(&ask(&[RunState::Running], RunSort::NewestEnded, None, happened)), []);
        assert_eq!(ways(&ask(&[], RunSort::NewestEnded, None, happened)), [Along::Column(Column::Ended)]);
        assert!(parts(&RunsAsk::default(), None, Some(&Found::default())).is_empty(), "nothing found");
    }

    #[test]
    fn a_search_text_is_no_pattern() {
        assert_eq!(like("a_b%c\\"), "%a\\_b\\%c\\\\%");
        assert_eq!(id_range("018"), None);
        assert_eq!(id_range("xyz1"), None);
        assert!(id_range("018f-").is_some());
    }
}
