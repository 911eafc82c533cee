//! The `updraft` binary: this workspace's tasks in the composition root of the library.

fn main() -> std::process::ExitCode {
    updraft::main(updraft_tasks::registry())
}
