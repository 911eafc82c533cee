//! Mode `rest`: a driver on the cluster, which outlives the attempt that submitted it.
//!
//! Kept in the task's state, per submission: the intent (before `create`), the driver's id (after it), and that it is over
//! (before the next submission). A later attempt finds the newest submission that is not over, and takes its driver over.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use updraft_task::{Context, TaskError};

use super::connection::Spark;
use super::job::{Job, application};
use super::rest::{Rest, State};
use super::{Mode, Output, Params, Watch, manifest, published};

/// How often the master is asked.
const LOOK: Duration = Duration::from_secs(1);
/// How long a driver may be unknown to a master that answers, or given up by it, before the attempt ends: a worker registers
/// again within this after a restart of its master.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long a killed driver is waited for.
const KILL: Duration = Duration::from_secs(10);

/// One submission of the task run.
struct Submission<'a> {
    number: u32,
    job: &'a Job,
    rest: &'a Rest,
    ctx: &'a Context,
}

/// Runs the job to its end, taking over what an earlier attempt submitted.
///
/// # Errors
/// By the driver's end; `Unknown`; as [`published`].
pub async fn run(params: &Params, connection: &Spark, ctx: &Context) -> Result<Output, TaskError> {
    let rest = Rest::new(connection.rest()?, connection.ui_url.as_deref())?;
    let mut number = 1;
    loop {
        while ctx.state().get(&format!("over-{number}")).await?.is_some() {
            number += 1;
        }
        let name = application(ctx, number);
        // Equal for every attempt: who takes the driver over reads its log from the beginning.
        let events = connection.is_here().then(|| ctx.run().data_dir.join("spark").join(&name));
        let events = events.map(|folder| std::path::absolute(&folder).unwrap_or(folder));
        let mut watch = Watch::of(events.clone())?;
        let mut job = Job::new(params, connection, Mode::Rest, name, events.as_deref(), ctx).await?;
        for (name, value) in [
            ("spark.master", connection.master()?.to_owned()),
            ("spark.driver.cores", "1".to_owned()),
            ("spark.cores.max", params.cores.max(1).to_string()),
            ("spark.driver.supervise", "false".to_owned()),
        ] {
            job.properties.insert(name.to_owned(), value);
        }
        let submission = Submission { number, job: &job, rest: &rest, ctx };
        let (driver, adopted) = submission.driver().await?;
        ctx.info(format!("driver {driver}, {}", job.application));
        // A driver that was killed with the attempt before is no fault of this one.
        if adopted && rest.state(&driver).await == State::Killed {
            ctx.warn(format!("driver {driver} of an earlier attempt was killed: the job is submitted again"));
            submission.over("killed").await?;
            continue;
        }
        submission.wait(&driver, &mut watch).await?;
        let output = published(&job, watch, Some(driver), adopted, ctx).await?;
        if let Some(folder) = events {
            // Its numbers are in the output. A log that stays costs space and nothing else.
            let _ = std::fs::remove_dir_all(folder);
        }
        return Ok(output);
    }
}

impl Submission<'_> {
    /// The driver of this submission, and whether an earlier attempt submitted it.
    async fn driver(&self) -> Result<(String, bool), TaskError> {
        let (intent, id) = (format!("intent-{}", self.number), format!("driver-{}", self.number));
        if let Some(Value::String(driver)) = self.ctx.state().get(&id).await? {
            return Ok((driver, true));
        }
        // Before `create`: the newest driver there is, so that one whose answer gets lost is found among the newer ones.
        let newest = self.rest.listed().await?.and_then(|(drivers, _)| drivers.into_iter().next_back());
        let mine =
            json!({ "application": self.job.application, "after": newest, "attempt": self.ctx.attempt().dispatch_no });
        let stands = self.ctx.state().put_once(&intent, mine.clone()).await?;
        let found = if stands == mine { None } else { self.find(&stands).await? };
        let adopted = found.is_some();
        let driver = match found {
            Some(driver) => driver,
            None => self.create().await?,
        };
        let stands = self.ctx.state().put_once(&id, json!(driver)).await?;
        Ok((stands.as_str().unwrap_or(&driver).to_owned(), adopted))
    }

    /// Submits the job.
    async fn create(&self) -> Result<String, TaskError> {
        let created = self.rest.create(self.job).await;
        // What was surely not taken needs no looking for. What may have been stays open.
        if let Err(error) = &created
            && matches!(error.class(), "MasterAway" | "Refused")
        {
            self.over("not taken").await?;
        }
        created
    }

    /// Looks for a driver whose attempt ended between its intent and the master's answer; `None` if there surely is none.
    async fn find(&self, intent: &Value) -> Result<Option<String>, TaskError> {
        let unknown = |why: &str| {
            let name = &self.job.application;
            TaskError::retry(
                "Unknown",
                format!(
                    "an earlier attempt was lost while it submitted `{name}`, and {why}: it is not submitted again. Look at \
                     the master's pages, end it there, and clear the task"
                ),
            )
        };
        if let Some(driver) = self.marker().await? {
            return Ok(Some(driver));
        }
        let until = Instant::now() + PATIENCE;
        loop {
            let Some((drivers, names)) = self.rest.listed().await? else {
                return Err(unknown("the connection has no `ui_url` to look for it"));
            };
            let after = intent["after"].as_str().unwrap_or_default();
            let newer: Vec<String> = drivers.into_iter().filter(|id| id.as_str() > after).collect();
            let is_there = names.contains(&self.job.application);
            match newer.as_slice() {
                [] if !is_there => return Ok(None),
                [one] if is_there => return Ok(Some(one.clone())),
                [] | [_, ..] => {}
            }
            // A driver without its application is starting, or somebody else's.
            if let Some(driver) = self.marker().await? {
                return Ok(Some(driver));
            }
            if Instant::now() > until {
                return Err(unknown(&format!("{} drivers are newer, which may be it", newer.len())));
            }
            self.ctx.sleep(LOOK).await?;
        }
    }

    /// The driver's id as the job itself has noted it beside its output.
    async fn marker(&self) -> Result<Option<String>, TaskError> {
        let Some(folder) = &self.job.folder else { return Ok(None) };
        let bytes = self.job.lake.find(&format!("{folder}/driver.json")).await?;
        let note: Option<Value> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Ok(note.and_then(|note| note["driver"].as_str().map(str::to_owned)))
    }

    /// Notes that this submission is over: the next attempt makes a new one.
    async fn over(&self, why: &str) -> Result<(), TaskError> {
        self.ctx.state().put_once(&format!("over-{}", self.number), json!(why)).await.map(drop)
    }

    /// Whether the job has published its output: the one evidence that does not depend on the master.
    async fn is_published(&self) -> Result<bool, TaskError> {
        match &self.job.folder {
            Some(folder) => Ok(manifest::find(&self.job.lake, folder).await?.is_some()),
            None => Ok(false),
        }
    }

    /// Waits until the driver has ended well.
    async fn wait(&self, driver: &str, watch: &mut Watch) -> Result<(), TaskError> {
        let mut doubt: Option<Instant> = None;
        loop {
            let state = tokio::select! {
                biased;
                () = self.ctx.cancelled().cancelled() => return Err(self.stop(driver).await),
                state = self.rest.state(driver) => state,
            };
            watch.look(self.ctx);
            match state {
                State::Alive => doubt = None,
                State::Finished => return Ok(()),
                State::Failed(why) => {
                    self.over("failed").await?;
                    let text = format!(
                        "the job failed on the cluster ({why}); what it said is in `work/{driver}` of its worker"
                    );
                    return Err(TaskError::retry("JobFailed", text));
                }
                State::Killed => {
                    self.over("killed").await?;
                    return Err(TaskError::retry("Killed", format!("driver {driver} was killed on the cluster")));
                }
                State::GivenUp(_) | State::Unknown(_) if self.is_published().await? => return Ok(()),
                State::GivenUp(why) => {
                    if self.in_doubt(&mut doubt, &format!("the master has given up driver {driver}: {why}")) {
                        // It may yet run: it must not when the job is submitted again.
                        self.rest.kill(driver).await?;
                        self.over("given up").await?;
                        let text =
                            format!("the master has given up driver {driver} ({why}), and nothing was published");
                        return Err(TaskError::retry("DriverLost", text));
                    }
                }
                State::Unknown(why) => {
                    if self.in_doubt(&mut doubt, &format!("nothing is known of driver {driver}: {why}")) {
                        let text = format!("nothing is known of driver {driver} ({why}): the next attempt looks again");
                        return Err(TaskError::retry("Unknown", text));
                    }
                }
            }
            // Cancelled: the next turn sees it.
            let _ = self.ctx.sleep(LOOK).await;
        }
    }

    /// Whether the doubt has lasted too long; says so when it begins.
    fn in_doubt(&self, since: &mut Option<Instant>, what: &str) -> bool {
        let since = *since.get_or_insert_with(|| {
            self.ctx.warn(what);
            Instant::now()
        });
        since.elapsed() > PATIENCE
    }

    /// Leaves the driver to the next attempt, or ends it, when this attempt shall stop; what it ends with.
    async fn stop(&self, driver: &str) -> TaskError {
        if self.ctx.is_handed_over() {
            self.ctx.info(format!("driver {driver} goes on: the next attempt takes it over"));
            return TaskError::cancelled();
        }
        self.kill(driver).await
    }

    /// Kills the driver and waits for its end; what the attempt ends with.
    async fn kill(&self, driver: &str) -> TaskError {
        self.ctx.warn(format!("driver {driver} is killed"));
        let until = Instant::now() + KILL;
        while Instant::now() < until {
            // A master that is away may come back in time.
            if let Err(error) = self.rest.kill(driver).await {
                self.ctx.warn(error.message());
            } else if self.rest.state(driver).await != State::Alive {
                return TaskError::cancelled();
            }
            tokio::time::sleep(LOOK / 4).await;
        }
        self.ctx.error(format!("driver {driver} may live on: the master has not confirmed its end"));
        TaskError::cancelled()
    }
}
