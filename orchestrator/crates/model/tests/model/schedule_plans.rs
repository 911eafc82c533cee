//! What becomes of fires: outages, pauses, edits, limits.

use std::time::Duration;

use updraft_model::schedule::plan::{
    GRACE, Load, Next, Plan, Policy, Progress, SkipReason, fires_alike, first_look, open, plan,
};
use updraft_model::schedule::timetable::Timetable;
use updraft_model::schedule::{Catchup, DataIntervalKind, Overlap, Schedule};
use updraft_model::time::Timestamp;
use updraft_model::workflow::Workflow;

use super::schedule_fires::{cron, scheduled, t};

/// A schedule as the scheduler keeps it.
struct Kept {
    workflow: Workflow,
    progress: Progress,
    load: Load,
}

impl Kept {
    fn published(workflow: Workflow, at: &str) -> Self {
        let progress = Progress::new(&workflow, t(at));
        Self { workflow, progress, load: Load::default() }
    }

    fn timetable(&self) -> Timetable {
        Timetable::of(&self.workflow, self.progress.anchor).unwrap().unwrap()
    }

    /// Plans, and takes the answer over; runs end at once.
    fn plan(&mut self, now: Timestamp) -> Plan {
        let plan = plan(&self.timetable(), Policy::of(&self.workflow), &self.progress, self.load, now).unwrap();
        self.progress = plan.progress.clone();
        plan
    }

    /// Plans until nothing is due any more.
    fn settle(&mut self, now: Timestamp) -> (Vec<String>, Vec<(u64, SkipReason)>) {
        let (mut runs, mut skipped): (_, Vec<(u64, SkipReason)>) = (Vec::new(), Vec::new());
        for _ in 0..5_000 {
            let plan = self.plan(now);
            runs.extend(plan.runs.iter().map(|run| run.fire.at.to_string()));
            for found in plan.skipped {
                match skipped.last_mut().filter(|last| last.1 == found.reason) {
                    Some(last) => last.0 += found.count,
                    None => skipped.push((found.count, found.reason)),
                }
            }
            if plan.next.at.is_none_or(|at| at > now) {
                return (runs, skipped);
            }
        }
        panic!("it never settles");
    }
}

fn hourly(catchup: Catchup) -> Workflow {
    Workflow {
        catchup,
        max_active_runs: 1_000,
        data_interval: DataIntervalKind::Point,
        ..scheduled(cron("0 * * * *", "UTC"))
    }
}

#[test]
fn a_fire_that_is_due_becomes_a_run_and_the_next_is_known() {
    let mut kept = Kept::published(hourly(Catchup::Latest), "2026-01-01T00:30:00Z");
    let look = first_look(&kept.workflow, &kept.progress, t("2026-01-01T00:30:00Z")).unwrap();
    assert_eq!(look.at, Some(t("2026-01-01T01:00:00Z")));
    let plan = kept.plan(t("2026-01-01T01:00:00.003Z"));
    assert_eq!(plan.runs.len(), 1);
    assert!(!plan.runs[0].catchup);
    assert_eq!(plan.next, Next { at: Some(t("2026-01-01T02:00:00Z")), below: None });
    assert!(kept.plan(t("2026-01-01T01:00:00.004Z")).runs.is_empty());
}

#[test]
fn after_an_outage_the_policy_decides_and_the_rest_is_counted() {
    use SkipReason::{Catchup as Policy, CatchupLimit};
    let window = |hours: u64, max| Catchup::Window { window: Duration::from_hours(hours), max };
    for (catchup, runs, skipped) in [
        (Catchup::None, vec![], vec![(5, Policy)]),
        (Catchup::Latest, vec!["05"], vec![(4, Policy)]),
        (Catchup::All, vec!["01", "02", "03", "04", "05"], vec![]),
        (window(3, None), vec!["03", "04", "05"], vec![(2, Policy)]),
        (window(24, Some(2)), vec!["04", "05"], vec![(3, CatchupLimit)]),
        (window(3, Some(2)), vec!["04", "05"], vec![(2, Policy), (1, CatchupLimit)]),
    ] {
        let mut kept = Kept::published(hourly(catchup), "2026-01-01T00:30:00Z");
        let (found, left_out) = kept.settle(t("2026-01-01T05:30:00Z"));
        let hours: Vec<&str> = found.iter().map(|at| &at[11..13]).collect();
        assert_eq!((hours, left_out), (runs, skipped), "{catchup:?}");
    }
}

#[test]
fn a_late_tick_is_no_outage() {
    let mut kept = Kept::published(hourly(Catchup::None), "2026-01-01T00:30:00Z");
    let plan = kept.plan(t("2026-01-01T01:00:00Z") + GRACE);
    assert_eq!((plan.runs.len(), plan.skipped.len()), (1, 0));
}

#[test]
fn catch_up_is_metered_gives_way_and_waits_for_room() {
    let mut kept = Kept::published(Workflow { max_active_runs: 16, ..hourly(Catchup::All) }, "2026-01-01T00:30:00Z");
    let now = t("2026-01-03T00:00:10Z");
    let first = kept.plan(now);
    assert_eq!(first.runs.len(), 11, "the live one, and ten of 47");
    assert!(!first.runs[0].catchup && first.runs[1..].iter().all(|run| run.catchup));
    assert!(first.runs[1].priority() < first.runs[0].priority());
    assert_eq!(first.runs[0].fire.at, t("2026-01-03"));
    assert_eq!(first.next, Next { at: Some(now), below: None });
    kept.load = Load { running: 11, queued: 0, queued_by_schedule: 0 };
    let second = kept.plan(now);
    assert_eq!(second.runs.len(), 5);
    assert_eq!(second.next, Next { at: Some(t("2026-01-03T01:00:00Z")), below: Some(16) }, "full");
    kept.load = Load { running: 15, queued: 0, queued_by_schedule: 0 };
    assert_eq!(kept.plan(now).runs.len(), 1);
    kept.load = Load::default();
    let (rest, skipped) = kept.settle(now);
    assert_eq!((rest.len(), skipped.len()), (47 - 16, 0));
}

#[test]
fn overlap_decides_when_the_workflow_is_busy() {
    for (overlap, running, by_schedule, created) in [
        (Overlap::Queue, 2, 0, true),
        (Overlap::Queue, 2, 1, false),
        (Overlap::Queue, 1, 0, true),
        (Overlap::Skip, 2, 0, false),
        (Overlap::Skip, 1, 0, true),
        (Overlap::Allow, 2, 900, true),
        (Overlap::Allow, 2, 1_000, false),
    ] {
        let workflow = Workflow { overlap, max_active_runs: 2, ..hourly(Catchup::Latest) };
        let mut kept = Kept::published(workflow, "2026-01-01T00:30:00Z");
        kept.load = Load { running, queued: by_schedule, queued_by_schedule: by_schedule };
        let plan = kept.plan(t("2026-01-01T01:00:00Z"));
        assert_eq!((plan.runs.len(), plan.skipped.len()), if created { (1, 0) } else { (0, 1) }, "{overlap:?}");
        assert_eq!(plan.next.at, Some(t("2026-01-01T02:00:00Z")));
    }
}

#[test]
fn a_start_in_the_past_is_caught_up_with_as_after_an_outage() {
    let started = |catchup| Workflow { start_date: Some(t("2026-01-01")), ..hourly(catchup) };
    let mut kept = Kept::published(started(Catchup::Latest), "2026-01-02T00:30:00Z");
    assert_eq!(kept.settle(t("2026-01-02T00:30:00Z")).0, ["2026-01-02T00:00:00Z"]);
    let mut kept = Kept::published(started(Catchup::All), "2026-01-02T00:30:00Z");
    assert_eq!(kept.settle(t("2026-01-02T00:30:00Z")).0.len(), 25);
    let mut kept = Kept::published(started(Catchup::None), "2026-01-02T00:30:00Z");
    assert_eq!(kept.settle(t("2026-01-02T00:30:00Z")).0.len(), 0);
}

#[test]
fn an_edit_fires_in_the_future_alone_and_what_was_open_is_recorded() {
    let mut kept = Kept::published(hourly(Catchup::All), "2026-01-01T00:30:00Z");
    let edited = Workflow { schedule: Some(cron("30 * * * *", "UTC")), ..kept.workflow.clone() };
    assert!(!fires_alike(&kept.workflow, &edited));
    assert!(fires_alike(
        &kept.workflow,
        &Workflow { catchup: Catchup::None, tags: vec!["x".into()], ..kept.workflow.clone() }
    ));
    let now = t("2026-01-01T04:10:00Z");
    let left = open(&kept.timetable(), &kept.progress, now).unwrap().unwrap();
    assert_eq!((left.count, left.reason, left.from), (4, SkipReason::Edited, t("2026-01-01T01:00:00Z")));
    kept.progress = kept.progress.edited(&edited, now);
    kept.workflow = edited;
    assert_eq!(kept.settle(now).0, Vec::<String>::new());
    assert_eq!(kept.settle(t("2026-01-01T04:30:00Z")).0, ["2026-01-01T04:30:00Z"]);
}

#[test]
fn once_runs_once() {
    let mut kept = Kept::published(scheduled(Schedule::Once), "2026-01-01T00:00:00.7Z");
    assert_eq!(kept.settle(t("2026-01-01T00:00:00.7Z")).0, ["2026-01-01T00:00:00Z"]);
    let plan = kept.plan(t("2026-06-01"));
    assert_eq!((plan.runs.len(), plan.next), (0, Next::default()));
    let late = Workflow { start_date: Some(t("2026-02-01")), ..scheduled(Schedule::Once) };
    let mut kept = Kept::published(late, "2026-01-01");
    assert_eq!(kept.settle(t("2026-01-15")).0, Vec::<String>::new());
    assert_eq!(kept.settle(t("2026-02-01T00:00:00.1Z")).0, ["2026-02-01T00:00:00Z"]);
}

#[test]
fn continuous_follows_the_run_before() {
    let mut kept = Kept::published(scheduled(Schedule::Continuous), "2026-01-01");
    let first = kept.plan(t("2026-01-01T00:00:05Z"));
    assert_eq!(first.runs.len(), 1);
    assert_eq!(first.next, Next { at: None, below: Some(1) });
    kept.load = Load { running: 1, queued: 0, queued_by_schedule: 0 };
    let busy = kept.plan(t("2026-01-01T00:00:06Z"));
    assert_eq!((busy.runs.len(), busy.next.below), (0, Some(1)));
    kept.load = Load::default();
    let second = kept.plan(t("2026-01-01T00:01:00Z"));
    assert_eq!(second.runs[0].fire.interval.start, t("2026-01-01T00:00:05Z"));
    assert_eq!(second.runs[0].fire.interval.end, t("2026-01-01T00:01:00Z"));
    let soon = kept.plan(t("2026-01-01T00:01:00.2Z"));
    assert_eq!(soon.next.at, Some(t("2026-01-01T00:01:01Z")), "never more than one a second");
}

#[test]
fn a_year_of_seconds_is_worked_off_in_pieces_and_counted_exactly() {
    let seconds = |catchup| Workflow { catchup, ..scheduled(Schedule::Every(Duration::from_secs(1))) };
    let week = 7 * 86_400;
    for (catchup, runs, left_out) in
        [(Catchup::None, 0, week - 31), (Catchup::Latest, 0, week - 31), (Catchup::All, 10_000, week - 31 - 10_000)]
    {
        let mut kept = Kept::published(Workflow { max_active_runs: 20_000, ..seconds(catchup) }, "2026-01-01");
        let (found, skipped) = kept.settle(t("2026-01-08"));
        let count: u64 = skipped.iter().map(|(count, _)| count).sum();
        assert_eq!((found.len(), count), (runs + 31, left_out), "{catchup:?}: 31 are live");
    }
}

/// A deterministic stream of numbers.
fn lcg(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

#[test]
fn in_a_virtual_year_of_outages_every_fire_runs_or_is_recorded_once() {
    let window = Catchup::Window { window: Duration::from_hours(5), max: Some(3) };
    for catchup in [Catchup::None, Catchup::Latest, Catchup::All, window] {
        for (schedule, jitter) in [
            (cron("0 * * * *", "Europe/Berlin"), None),
            (cron("30 1,2,3 * * *", "America/New_York"), Some(Duration::from_mins(3))),
            (Schedule::Every(Duration::from_mins(97)), None),
        ] {
            let workflow = Workflow {
                schedule: Some(schedule),
                jitter,
                overlap: Overlap::Queue,
                max_active_runs: 3,
                ..hourly(catchup)
            };
            let start = t("2026-01-01");
            let mut kept = Kept::published(workflow, "2026-01-01");
            let end = t("2027-01-01");
            let (mut now, mut seed) = (start, 7);
            let mut ran = std::collections::BTreeSet::new();
            let mut skipped = 0;
            while now < end {
                let outage = lcg(&mut seed).is_multiple_of(10);
                let wait = if outage { lcg(&mut seed) % 200_000_000 } else { lcg(&mut seed) % 600_000 };
                now = now + Duration::from_millis(wait);
                let running = u32::try_from(lcg(&mut seed) % 4).unwrap();
                let queued = u32::try_from(lcg(&mut seed) % 2).unwrap();
                kept.load = Load { running, queued, queued_by_schedule: queued };
                let plan = kept.plan(now);
                for run in &plan.runs {
                    assert!(run.fire.due <= now, "never early");
                    assert!(ran.insert(run.fire.at), "{} twice", run.fire.at);
                }
                let busy = running + queued;
                assert!(busy + u32::try_from(plan.runs.len()).unwrap() <= busy.max(3) + 1, "one waits at most");
                skipped += plan.skipped.iter().map(|skipped| skipped.count).sum::<u64>();
            }
            kept.load = Load::default();
            loop {
                let plan = kept.plan(now);
                ran.extend(plan.runs.iter().map(|run| run.fire.at));
                skipped += plan.skipped.iter().map(|skipped| skipped.count).sum::<u64>();
                if plan.runs.is_empty() && plan.next.at.is_none_or(|at| at > now) {
                    break;
                }
            }
            let fires = kept.timetable().walk(start).take_while(|fire| fire.unwrap_due() <= now).count();
            assert_eq!(ran.len() as u64 + skipped, fires as u64, "{catchup:?}");
        }
    }
}

trait Due {
    fn unwrap_due(&self) -> Timestamp;
}

impl Due for Result<updraft_model::schedule::timetable::Fire, updraft_model::interval::FireError> {
    fn unwrap_due(&self) -> Timestamp {
        self.as_ref().unwrap().due
    }
}
