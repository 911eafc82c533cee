//! `kafka.topics`: topics, their partitions and settings as they shall be, with a plan.

mod plan;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigSource, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use updraft_task::{ConnectionNeed, Context, Effects, ErrorClass, Task, TaskError};
use uuid::Uuid;

pub use plan::{Action, Change, TopicPlan, TopicSpec};
use plan::{Found, Setting, Step, plan};

use super::connection::KafkaConnection;
use super::fault::{AUTH, BROKER, code, task_error};
use super::reader::{Isolation, Reader};
use super::sender::{Watch, blocking};

/// Between two looks for what was just made.
const PAUSE: Duration = Duration::from_millis(100);

/// Longest name of a topic, in bytes.
const NAME_BYTES: usize = 249;

/// What brokers answer to a request that they will never take.
const REFUSED: [Code; 7] = [
    Code::InvalidConfig,
    Code::InvalidPartitions,
    Code::InvalidReplicationFactor,
    Code::InvalidReplicaAssignment,
    Code::InvalidTopic,
    Code::InvalidRequest,
    Code::PolicyViolation,
];

/// Parameters of `kafka.topics`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TopicsParams {
    /// Topics as they shall be. Others are left alone.
    pub topics: Vec<TopicSpec>,
    /// Only plan: brokers check what would be done, and nothing is changed.
    #[serde(default)]
    pub dry_run: bool,
    /// How long brokers may take for each step, in milliseconds.
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u64,
}

const fn timeout_ms() -> u64 {
    60_000
}

/// Output of `kafka.topics`.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TopicsReport {
    /// Whether nothing was done but planned.
    pub dry_run: bool,
    /// Topics that were made.
    pub created: u64,
    /// Topics that were changed.
    pub changed: u64,
    /// Topics that were as they shall be.
    pub unchanged: u64,
    /// What was done with each topic, in the order of `topics`.
    pub topics: Vec<TopicPlan>,
}

/// The task.
#[derive(Debug)]
pub struct KafkaTopics;

impl Task for KafkaTopics {
    const TYPE: &'static str = "kafka.topics";
    const SUMMARY: &'static str = "makes Kafka topics and brings their partitions and settings to what they shall be";
    /// What is as it shall be is left alone, so that a repeated attempt does the rest.
    const EFFECTS: Effects = Effects::Idempotent;
    const CONNECTION: ConnectionNeed = ConnectionNeed::Required(&["kafka"]);
    const ERRORS: &'static [ErrorClass] = &[
        BROKER,
        AUTH,
        ErrorClass {
            name: "BadParameters",
            retryable: false,
            meaning: "a topic is named twice, or brokers refuse its name, number of partitions or copies, or a setting",
        },
        ErrorClass {
            name: "CannotChange",
            retryable: false,
            meaning: "partitions would shrink, copies would change, or a setting is unknown; nothing was changed",
        },
        ErrorClass {
            name: "NotTaken",
            retryable: false,
            meaning: "brokers did not refuse the settings in words, but the topic does not have them",
        },
        ErrorClass { name: "Conflict", retryable: true, meaning: "somebody else made or changed a topic meanwhile" },
        ErrorClass { name: "BadConnection", retryable: false, meaning: "the connection's settings are not usable" },
    ];
    const EXAMPLE: &'static str = r"
- id: topics
  type: kafka.topics
  with:
    topics:
      - name: processed_flights
        partitions: 6
        config: { retention.ms: 172800000, compression.type: zstd }
      - name: raw_flights.dlq
        partitions: 1
        config: { retention.ms: 2592000000, retention.bytes: 1073741824 }
";

    type Params = TopicsParams;
    type Output = TopicsReport;

    async fn run(params: TopicsParams, ctx: &Context) -> Result<TopicsReport, TaskError> {
        let connection: KafkaConnection = ctx.connection()?;
        connection.must_be_shared()?;
        checked(&params.topics)?;
        tokio::select! {
            done = ensure(&params, ctx, &connection) => done,
            () = ctx.cancelled().cancelled() => Err(TaskError::cancelled()),
        }
    }
}

fn bad(text: String) -> TaskError {
    TaskError::fail("BadParameters", text)
}

fn checked(topics: &[TopicSpec]) -> Result<(), TaskError> {
    let mut names = BTreeSet::new();
    for TopicSpec { name, partitions, replication, .. } in topics {
        if !names.insert(name) {
            return Err(bad(format!("the topic {name} is named twice: leave one out")));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if name.is_empty() || name.len() > NAME_BYTES || name == "." || name == ".." || !name.chars().all(plain) {
            return Err(bad(format!(
                "`{name}` is no name of a topic: 1 to {NAME_BYTES} letters, digits, `.`, `_` and `-`, and not only dots"
            )));
        }
        if *partitions == 0 || i32::try_from(*partitions).is_err() {
            return Err(bad(format!("{name}: `partitions: {partitions}` is no number of partitions")));
        }
        if replication.is_some_and(|copies| copies == 0 || i32::try_from(copies).is_err()) {
            return Err(bad(format!("{name}: `replication` is no number of copies")));
        }
    }
    Ok(())
}

async fn ensure(params: &TopicsParams, ctx: &Context, connection: &KafkaConnection) -> Result<TopicsReport, TaskError> {
    let limit = Duration::from_millis(params.timeout_ms);
    let mut brokers = Brokers::open(ctx, connection, limit)?;
    let (mut plans, mut steps, mut problems) = (Vec::new(), Vec::new(), Vec::new());
    for spec in &params.topics {
        match plan(spec, brokers.find(&spec.name).await?.as_ref()) {
            Ok((topic, its)) => {
                steps.extend(its.into_iter().map(|step| (spec.name.as_str(), step)));
                plans.push(topic);
            }
            Err(found) => problems.extend(found),
        }
    }
    if !problems.is_empty() {
        return Err(TaskError::fail("CannotChange", format!("nothing was changed: {}", problems.join("; "))));
    }
    // Brokers check everything before anything is done.
    for (topic, step) in &steps {
        brokers.take(topic, step, Mode::Check).await?;
    }
    if !params.dry_run {
        for (topic, step) in &steps {
            brokers.take(topic, step, Mode::Do).await?;
        }
    }
    let count = |action: Action| plans.iter().filter(|topic| topic.action == action).count() as u64;
    let report = TopicsReport {
        dry_run: params.dry_run,
        created: count(Action::Created),
        changed: count(Action::Changed),
        unchanged: count(Action::Unchanged),
        topics: plans,
    };
    for TopicPlan { name, action, changes } in &report.topics {
        let word = |value: &Option<String>| value.clone().unwrap_or_else(|| "default".to_owned());
        let changes: Vec<String> = changes
            .iter()
            .map(|change| match action {
                Action::Created => format!("{} {}", change.what, word(&change.to)),
                Action::Changed | Action::Unchanged => {
                    format!("{} {} → {}", change.what, word(&change.from), word(&change.to))
                }
            })
            .collect();
        let did = match (action, params.dry_run) {
            (Action::Created, false) => "created",
            (Action::Created, true) => "would be created",
            (Action::Changed, false) => "changed",
            (Action::Changed, true) => "would be changed",
            (Action::Unchanged, _) => "unchanged",
        };
        ctx.info(format!("{name}: {did}{}{}", if changes.is_empty() { "" } else { ": " }, changes.join(", ")));
    }
    Ok(report)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Check,
    Do,
}

struct Brokers {
    admin: AdminClient<Watch>,
    watch: Watch,
    /// Looks for topics without making them, which an admin's question may do.
    reader: Option<Reader>,
    limit: Duration,
    place: String,
}

impl Brokers {
    fn open(ctx: &Context, connection: &KafkaConnection, limit: Duration) -> Result<Self, TaskError> {
        let watch = Watch::default();
        let place = connection.place().to_owned();
        let admin = connection.config()?.create_with_context(watch.clone()).map_err(|error| {
            TaskError::fail("BadConnection", format!("the admin client for {place} cannot be made: {error}"))
        })?;
        let reader = Reader::open(connection, Isolation::All, limit, ctx.cancelled().clone())?;
        Ok(Self { admin, watch, reader: Some(reader), limit, place })
    }

    fn options(&self, mode: Mode) -> AdminOptions {
        let options = AdminOptions::new().request_timeout(Some(self.limit));
        match mode {
            Mode::Check => options.validate_only(true),
            Mode::Do => options.operation_timeout(Some(self.limit)),
        }
    }

    fn error(&self, doing: &str, error: &KafkaError) -> TaskError {
        let text = || format!("cannot {doing} at {}: {error}", self.place);
        if REFUSED.contains(&code(error)) {
            return bad(format!("{}. Correct it; the brokers' log says more", text()));
        }
        if [Code::TopicAlreadyExists, Code::UnknownTopicOrPartition].contains(&code(error)) {
            return TaskError::retry("Conflict", text());
        }
        task_error(&format!("{doing} at {}", self.place), error, self.watch.last().as_deref())
    }

    /// Partitions and copies of a topic.
    async fn shape(&mut self, topic: &str) -> Result<Option<(u32, u32)>, TaskError> {
        let reader = self.reader.take().ok_or_else(|| TaskError::retry(BROKER.name, "the client is gone"))?;
        let name = topic.to_owned();
        let (reader, shape) = blocking(move || {
            let shape = reader.shape(&name);
            (reader, shape)
        })
        .await?;
        self.reader = Some(reader);
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Ok(shape?.map(|shape| (count(shape.partitions.len()), count(shape.copies))))
    }

    async fn find(&mut self, topic: &str) -> Result<Option<Found>, TaskError> {
        let Some((partitions, replication)) = self.shape(topic).await? else { return Ok(None) };
        let doing = format!("describe topic {topic}");
        let asked = [ResourceSpecifier::Topic(topic)];
        let found = self.admin.describe_configs(&asked, &self.options(Mode::Do)).await;
        let found = found.map_err(|error| self.error(&doing, &error))?;
        let mut settings = BTreeMap::new();
        for resource in found {
            for entry in resource.map_err(|code| self.error(&doing, &KafkaError::AdminOp(code)))?.entries {
                let own = entry.source == ConfigSource::DynamicTopic;
                let value = if entry.is_sensitive { None } else { entry.value };
                settings.insert(entry.name, Setting { value, own });
            }
        }
        // The client keeps a resource's error to itself.
        if settings.is_empty() {
            let text =
                format!("cannot {doing} at {}: brokers tell no settings. Check the rights on the topic", self.place);
            return Err(TaskError::retry(BROKER.name, text));
        }
        Ok(Some(Found { partitions, replication, settings }))
    }

    /// Does a step, or has it checked.
    async fn take(&mut self, topic: &str, step: &Step, mode: Mode) -> Result<(), TaskError> {
        let count = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
        match step {
            Step::Create { partitions, replication, config } => {
                let copies = TopicReplication::Fixed(replication.map_or(-1, count));
                let mut new = NewTopic::new(topic, count(*partitions), copies);
                new.config = config.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                let doing = format!("make topic {topic}{}", listed(config));
                let made = self.admin.create_topics([&new], &self.options(mode)).await;
                self.all(&doing, made)?;
                self.wait(topic, *partitions, mode).await
            }
            Step::Grow { partitions } => {
                let more = NewPartitions::new(topic, *partitions as usize);
                let made = self.admin.create_partitions([&more], &self.options(mode)).await;
                self.all(&format!("grow topic {topic} to {partitions} partitions"), made)?;
                self.wait(topic, *partitions, mode).await
            }
            Step::Configure { config } => match mode {
                Mode::Check => self.check(topic, config).await,
                Mode::Do => self.configure(topic, config).await,
            },
        }
    }

    /// Has brokers check a topic's settings. The client drops what they answer to a change of settings, so they are asked
    /// whether a new topic could have these ones.
    async fn check(&self, topic: &str, config: &BTreeMap<String, String>) -> Result<(), TaskError> {
        let name = format!("{topic:.200}-{}", Uuid::new_v4().simple());
        let mut new = NewTopic::new(&name, 1, TopicReplication::Fixed(-1));
        new.config = config.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let checked = self.admin.create_topics([&new], &self.options(Mode::Check)).await;
        match self.all(&format!("set topic {topic}{}", listed(config)), checked) {
            // Who may not make topics may still change this one; `configure` looks whether it did.
            Err(error) if error.class() == AUTH.name => Ok(()),
            checked => checked,
        }
    }

    async fn configure(&mut self, topic: &str, config: &BTreeMap<String, String>) -> Result<(), TaskError> {
        let doing = format!("set topic {topic}{}", listed(config));
        let mut all = AlterConfig::new(ResourceSpecifier::Topic(topic));
        all.entries = config.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.admin.alter_configs([&all], &self.options(Mode::Do)).await.map_err(|error| self.error(&doing, &error))?;
        // Whether brokers refused is not told: it is seen.
        let deadline = Instant::now() + self.limit;
        loop {
            let found = self.find(topic).await?;
            if found.is_some_and(|found| found.has_just(config)) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let text = format!(
                    "{doing} at {}: brokers took it and the topic is not so. Check the rights on the topic and the brokers' log",
                    self.place
                );
                return Err(TaskError::fail("NotTaken", text));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn all(
        &self,
        doing: &str,
        results: Result<Vec<Result<String, (String, Code)>>, KafkaError>,
    ) -> Result<(), TaskError> {
        for result in results.map_err(|error| self.error(doing, &error))? {
            result.map_err(|(_, code)| self.error(doing, &KafkaError::AdminOp(code)))?;
        }
        Ok(())
    }

    /// Waits until those who ask brokers see the partitions.
    async fn wait(&mut self, topic: &str, partitions: u32, mode: Mode) -> Result<(), TaskError> {
        if mode == Mode::Check {
            return Ok(());
        }
        let deadline = Instant::now() + self.limit;
        while self.shape(topic).await?.is_none_or(|(found, _)| found < partitions) {
            if Instant::now() >= deadline {
                let text = format!("topic {topic} was made at {}, but brokers do not show it yet", self.place);
                return Err(TaskError::retry(BROKER.name, text));
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }
}

fn listed(config: &BTreeMap<String, String>) -> String {
    let list: Vec<String> = config.iter().map(|(name, value)| format!("{name}={value}")).collect();
    if list.is_empty() { String::new() } else { format!(" with {}", list.join(", ")) }
}
