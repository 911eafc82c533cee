//! How people name a run: its id, its first digits, or `latest`.

use updraft_model::id::RunId;
use updraft_store::Reader;
use updraft_store::read::RunFilter;

use crate::exit_code::Failure;

/// Finds the run that is meant.
///
/// # Errors
/// None, or more than one.
pub async fn run(reader: &dyn Reader, name: &str) -> Result<RunId, Failure> {
    if name == "latest" {
        let filter = RunFilter { limit: 1, ..RunFilter::default() };
        return reader
            .runs(&filter)
            .await?
            .first()
            .map(|view| view.row.facts.run_id)
            .ok_or_else(|| Failure::input("there is no run in this store yet").hint("make one: updraft run FILE"));
    }
    if let Ok(id) = name.parse::<RunId>() {
        return match reader.run(id).await? {
            Some(_) => Ok(id),
            None => Err(unknown(name)),
        };
    }
    let digits = name.chars().filter(char::is_ascii_hexdigit).count();
    if digits < 4 || !name.chars().all(|c| c.is_ascii_hexdigit() || c == '-') {
        return Err(Failure::input(format!("`{name}` names no run"))
            .hint("give a run's id, its first digits (4 or more), or `latest`"));
    }
    match reader.runs_by_prefix(&name.to_lowercase()).await?.as_slice() {
        [] => Err(unknown(name)),
        [one] => Ok(*one),
        several => Err(Failure::input(format!("`{name}` begins more than one run's id"))
            .hint(several.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))),
    }
}

fn unknown(name: &str) -> Failure {
    Failure::input(format!("there is no run `{name}` in this store")).hint("list them: updraft runs")
}
