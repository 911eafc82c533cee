//! What history answers about a planted month, against slow and obvious computations over every run, on both stores.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::float_cmp,
    clippy::cast_possible_truncation,
    reason = "tests say what they expect"
)]

mod bench;
mod lists;
mod pages;
mod story;
mod world;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_answers_as_a_slow_look_at_every_run_does() {
    let world = world::World::sqlite().await;
    check(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_answers_as_a_slow_look_at_every_run_does() {
    let Some(world) = world::World::postgres().await else { return };
    check(&world).await;
}

async fn check(world: &world::World) {
    story::planted_troubles_are_found(world).await;
    story::every_planted_run_replays(world);
    lists::runs(world).await;
    lists::searches(world).await;
    lists::workflows(world).await;
    pages::grids(world).await;
    pages::durations(world).await;
    pages::usual(world).await;
    pages::calendar(world).await;
    pages::home(world).await;
    pages::tasks(world).await;
    pages::versions_and_notes(world).await;
}
