//! What is to be done so that topics are as they are wanted, out of what there is. Nothing is done here.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::text::Text;

/// A topic as it shall be.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TopicSpec {
    /// Name.
    pub name: String,
    /// Number of partitions. Of a topic that is there it can only grow, and keys then go to other partitions than before.
    pub partitions: u32,
    /// Copies of each partition, for a topic that is made; brokers' default if left out. Of one that is there it cannot be
    /// changed here.
    #[serde(default)]
    pub replication: Option<u32>,
    /// Settings by Kafka's names, such as `retention.ms`; null takes a setting back to brokers' default. Settings that are not
    /// named are left as they are.
    #[serde(default)]
    pub config: BTreeMap<String, Option<Text>>,
}

/// A setting that a topic has now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    /// `None`: brokers do not tell it.
    pub(super) value: Option<String>,
    /// Whether it was set on this topic, and is not a default.
    pub(super) own: bool,
}

/// A topic as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) partitions: u32,
    pub(super) replication: u32,
    pub(super) settings: BTreeMap<String, Setting>,
}

impl Found {
    /// Whether the topic's own settings are these.
    pub(super) fn has_just(&self, config: &BTreeMap<String, String>) -> bool {
        let own: BTreeMap<&String, &Setting> = self.settings.iter().filter(|(_, setting)| setting.own).collect();
        own.len() == config.len()
            && config.iter().all(|(name, wanted)| {
                let value = own.get(name).and_then(|setting| setting.value.as_ref());
                value.is_some_and(|value| same(value, wanted))
            })
    }
}

/// What is done with a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It is not there and is made.
    Created,
    /// It is there and is changed.
    Changed,
    /// It is as it shall be.
    Unchanged,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Change {
    /// `partitions`, `replication` or the name of a setting.
    pub what: String,
    /// As it was; null if it was not there.
    pub from: Option<String>,
    /// As it is then; null for brokers' default.
    pub to: Option<String>,
}

/// What is done with one topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TopicPlan {
    /// Name.
    pub name: String,
    /// What is done.
    pub action: Action,
    /// How.
    pub changes: Vec<Change>,
}

/// Steps on brokers for one topic.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Create {
        partitions: u32,
        replication: Option<u32>,
        config: BTreeMap<String, String>,
    },
    Grow {
        partitions: u32,
    },
    /// All of the topic's own settings afterwards: what is not among them goes back to its default.
    Configure {
        config: BTreeMap<String, String>,
    },
}

/// The plan for a topic and its steps; `Err`: what cannot be done.
pub(super) fn plan(spec: &TopicSpec, found: Option<&Found>) -> Result<(TopicPlan, Vec<Step>), Vec<String>> {
    match found {
        Some(found) => change(spec, found),
        None => Ok(create(spec)),
    }
}

fn create(spec: &TopicSpec) -> (TopicPlan, Vec<Step>) {
    let config: BTreeMap<String, String> = spec
        .config
        .iter()
        .filter_map(|(name, value)| value.as_ref().map(|value| (name.clone(), value.to_string())))
        .collect();
    let to = |what: &str, to: String| Change { what: what.to_owned(), from: None, to: Some(to) };
    let mut changes = vec![to("partitions", spec.partitions.to_string())];
    changes.extend(spec.replication.map(|copies| to("replication", copies.to_string())));
    changes.extend(config.iter().map(|(name, value)| to(name, value.clone())));
    let plan = TopicPlan { name: spec.name.clone(), action: Action::Created, changes };
    (plan, vec![Step::Create { partitions: spec.partitions, replication: spec.replication, config }])
}

fn change(spec: &TopicSpec, found: &Found) -> Result<(TopicPlan, Vec<Step>), Vec<String>> {
    let (mut changes, mut steps, mut problems) = (Vec::new(), Vec::new(), Vec::new());
    let name = &spec.name;
    if spec.partitions < found.partitions {
        problems.push(format!(
            "{name} has {} partitions and cannot shrink to {}: make another topic and copy what is wanted",
            found.partitions, spec.partitions
        ));
    }
    if spec.partitions > found.partitions {
        changes.push(Change {
            what: "partitions".to_owned(),
            from: Some(found.partitions.to_string()),
            to: Some(spec.partitions.to_string()),
        });
        steps.push(Step::Grow { partitions: spec.partitions });
    }
    if let Some(copies) = spec.replication.filter(|copies| *copies != found.replication) {
        problems.push(format!(
            "{name} has {} copies of each partition and not {copies}: move them with Kafka's kafka-reassign-partitions, or \
             leave `replication` out",
            found.replication
        ));
    }
    // Brokers take the list as the whole: what nobody named has to be among it.
    let own = found.settings.iter().filter(|(_, setting)| setting.own);
    let mut config: BTreeMap<String, Option<String>> =
        own.map(|(name, setting)| (name.clone(), setting.value.clone())).collect();
    let before = changes.len();
    for (setting, wanted) in &spec.config {
        let Some(current) = found.settings.get(setting) else {
            problems.push(format!("`{setting}` is no setting of a topic on these brokers ({name})"));
            continue;
        };
        let wanted = wanted.as_ref().map(Text::to_string);
        let as_wanted = match &wanted {
            Some(wanted) => current.value.as_ref().is_some_and(|value| same(value, wanted)),
            None => !current.own,
        };
        if as_wanted {
            continue;
        }
        match &wanted {
            Some(value) => config.insert(setting.clone(), Some(value.clone())),
            None => config.remove(setting),
        };
        changes.push(Change { what: setting.clone(), from: current.value.clone(), to: wanted });
    }
    if changes.len() > before {
        let hidden: Vec<&str> =
            config.iter().filter(|(_, value)| value.is_none()).map(|(name, _)| name.as_str()).collect();
        if !hidden.is_empty() {
            problems.push(format!(
                "{name} has settings whose values brokers do not tell ({}), which a change of others would lose: change them \
                 with Kafka's kafka-configs",
                hidden.join(", ")
            ));
        }
        let config = config.into_iter().filter_map(|(name, value)| value.map(|value| (name, value))).collect();
        steps.push(Step::Configure { config });
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let action = if changes.is_empty() { Action::Unchanged } else { Action::Changed };
    Ok((TopicPlan { name: name.clone(), action, changes }, steps))
}

/// Whether two values of a setting mean the same: brokers write numbers and lists in their own way.
fn same(one: &str, other: &str) -> bool {
    let (one, other) = (one.trim(), other.trim());
    if one == other {
        return true;
    }
    if let (Ok(one), Ok(other)) = (one.parse::<i64>(), other.parse::<i64>()) {
        return one == other;
    }
    if let (Ok(one), Ok(other)) = (one.parse::<f64>(), other.parse::<f64>()) {
        return (one - other).abs() < f64::EPSILON;
    }
    let truth = |text: &str| text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false");
    if truth(one) && truth(other) {
        return one.eq_ignore_ascii_case(other);
    }
    one.contains(',') && one.split(',').map(str::trim).eq(other.split(',').map(str::trim))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found() -> Found {
        let setting = |name: &str, value: &str, own| (name.to_owned(), Setting { value: Some(value.to_owned()), own });
        Found {
            partitions: 3,
            replication: 1,
            settings: BTreeMap::from([
                setting("retention.ms", "604800000", false),
                setting("cleanup.policy", "compact,delete", true),
                setting("min.cleanable.dirty.ratio", "0.5", false),
                setting("segment.ms", "100", true),
                setting("preallocate", "false", false),
            ]),
        }
    }

    fn planned(spec: serde_json::Value) -> Result<(TopicPlan, Vec<Step>), Vec<String>> {
        plan(&serde_json::from_value(spec).unwrap(), Some(&found()))
    }

    #[test]
    fn settings_that_nobody_named_are_kept() {
        let (plan, steps) =
            planned(json!({ "name": "t", "partitions": 4, "config": { "retention.ms": 1_000 } })).unwrap();
        assert_eq!(plan.action, Action::Changed);
        let change = |what: &str, from: &str, to: &str| Change {
            what: what.to_owned(),
            from: Some(from.to_owned()),
            to: Some(to.to_owned()),
        };
        assert_eq!(plan.changes, [change("partitions", "3", "4"), change("retention.ms", "604800000", "1000")]);
        let config = [("cleanup.policy", "compact,delete"), ("retention.ms", "1000"), ("segment.ms", "100")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(steps, [Step::Grow { partitions: 4 }, Step::Configure { config: BTreeMap::from(config) }]);
    }

    #[test]
    fn null_takes_a_setting_back_and_equal_values_are_no_change() {
        let (plan, steps) =
            planned(json!({ "name": "t", "partitions": 3, "config": { "segment.ms": null, "retention.ms": null } }))
                .unwrap();
        assert_eq!(plan.changes, [Change { what: "segment.ms".to_owned(), from: Some("100".to_owned()), to: None }]);
        let kept = BTreeMap::from([("cleanup.policy".to_owned(), "compact,delete".to_owned())]);
        assert_eq!(steps, [Step::Configure { config: kept }]);
        let same = json!({ "retention.ms": "604800000", "cleanup.policy": "compact, delete", "min.cleanable.dirty.ratio": 0.50, "preallocate": false });
        let (plan, steps) = planned(json!({ "name": "t", "partitions": 3, "replication": 1, "config": same })).unwrap();
        assert_eq!((plan.action, plan.changes, steps), (Action::Unchanged, vec![], vec![]));
    }

    #[test]
    fn what_cannot_be_done_is_told_at_once() {
        let problems = planned(json!({ "name": "t", "partitions": 2, "replication": 3, "config": { "retention": 1 } }))
            .unwrap_err();
        assert_eq!(problems.len(), 3);
        for (problem, part) in problems.iter().zip(["cannot shrink to 2", "1 copies", "no setting"]) {
            assert!(problem.contains(part), "{problem}");
        }
    }

    #[test]
    fn values_are_the_same_if_they_mean_the_same() {
        for (one, other, equal) in [
            ("1", "1", true),
            ("0.5", "0.50", true),
            ("9223372036854775807", "9223372036854775806", false),
            ("true", "TRUE", true),
            ("a,b", "a, b", true),
            ("a,b", "b,a", false),
            ("delete", "compact", false),
        ] {
            assert_eq!(same(one, other), equal, "{one} {other}");
        }
    }
}
