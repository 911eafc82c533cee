//! Kafka Connect behind a connection of kind `http`: its connectors and their tasks. Other services are asked nothing.

use serde_json::{Map, Value};

use super::{Gravity, Problem, client};

pub(super) async fn look(fields: &Map<String, Value>) -> Option<Vec<Problem>> {
    let base = fields.get("base_url")?.as_str()?.trim_end_matches('/');
    // A connection with credentials is to some service that wants them; Connect has none.
    if ["token", "username", "password", "headers"].iter().any(|name| fields.contains_key(*name)) {
        return None;
    }
    let ask = async |path: &str| -> Option<Value> {
        let answer = client().get(format!("{base}{path}")).send().await.ok()?;
        answer.error_for_status().ok()?.json().await.ok()
    };
    // What nobody but Connect says of itself.
    ask("/").await?.get("kafka_cluster_id")?;
    let connectors = ask("/connectors?expand=status").await?;
    let mut found = Vec::new();
    for (name, connector) in connectors.as_object()? {
        let status = &connector["status"];
        let tasks = status["tasks"].as_array().into_iter().flatten();
        let failed = std::iter::once(&status["connector"]).chain(tasks).find(|part| part["state"] == "FAILED");
        if let Some(part) = failed {
            let trace = part["trace"].as_str().unwrap_or_default();
            // The cause stands last; the lines between are Java's.
            let mut causes = trace.lines().filter(|line| !line.starts_with('\t'));
            let cause = causes.next_back().unwrap_or("without a reason").trim_start_matches("Caused by: ");
            found.push(Problem::new(
                "connector_failed",
                Gravity::Error,
                format!("the connector {name} of Kafka Connect at {base} has failed: {cause}"),
                format!(
                    "see to the cause, then POST {base}/connectors/{name}/restart?includeTasks=true&onlyFailed=true"
                ),
            ));
        }
    }
    Some(found)
}
