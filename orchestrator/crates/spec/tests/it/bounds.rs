//! Files that are made to hurt: too large for the repository, so they are made here. None may panic, take more than a second
//! of CPU time, or allocate more than 256 MiB: each runs in a child process whose address space may grow by that much.

use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

use nix::sys::resource::{Resource, UsageWho, getrusage, setrlimit};
use updraft_spec::{Checked, check_bytes};

use crate::support::catalog;

const CASE: &str = "UPDRAFT_SPEC_CASE";
const ALLOWED_BYTES: u64 = 256 << 20;

struct Case {
    name: &'static str,
    make: fn() -> Vec<u8>,
    /// A code that must be found; `None` if the file is fine.
    code: Option<&'static str>,
}

fn noop(id: usize) -> String {
    format!("  - {{id: t{id}, type: noop}}\n")
}

const CASES: &[Case] = &[
    Case {
        name: "deep_flow",
        make: || format!("id: {}{}\n", "[".repeat(10_000), "]".repeat(10_000)).into_bytes(),
        code: Some("W005"),
    },
    Case {
        name: "deep_blocks",
        make: || (0..1_000).fold(String::new(), |text, depth| text + &" ".repeat(depth) + "a:\n").into_bytes(),
        code: Some("W005"),
    },
    Case {
        name: "million_keys",
        make: || {
            (0..1_000_000)
                .fold(String::new(), |mut text, key| {
                    let _ = writeln!(text, "k{key}: 1");
                    text
                })
                .into_bytes()
        },
        code: Some("W005"),
    },
    Case {
        name: "as_many_keys_as_fit",
        make: || {
            (0..100_000)
                .fold(String::new(), |mut text, key| {
                    let _ = writeln!(text, "k{key}: 1");
                    text
                })
                .into_bytes()
        },
        code: Some("W101"),
    },
    Case {
        name: "as_many_items_as_fit",
        make: || format!("id: w\nvars:\n  a:\n{}", "  - a\n".repeat(170_000)).into_bytes(),
        code: Some("W206"),
    },
    Case {
        name: "scalar_of_100_mb",
        make: || [b"id: ".as_slice(), &vec![b'a'; 100 << 20]].concat(),
        code: Some("W005"),
    },
    Case {
        name: "line_of_1_mb",
        make: || format!("id: w\nowner: {}\n", "a".repeat(1_000_000)).into_bytes(),
        code: Some("W206"),
    },
    Case { name: "id_of_1_mb", make: || format!("id: {}\n", "a".repeat(1_000_000)).into_bytes(), code: Some("W109") },
    Case {
        name: "hundred_thousand_anchors",
        make: || {
            (0..60_000)
                .fold("id: w\nvars:\n  a:\n".to_owned(), |mut text, at| {
                    let _ = writeln!(text, "  - &a{at} x");
                    text
                })
                .into_bytes()
        },
        code: Some("W206"),
    },
    Case {
        name: "nested_anchors",
        make: || {
            let nested = (0..60).fold(String::new(), |mut text, at| {
                let _ = write!(text, "&a{at} [");
                text
            });
            let items = "x, ".repeat(300_000);
            format!("id: w\nvars:\n  a: {nested}{items}{}\n", "]".repeat(60)).into_bytes()
        },
        code: Some("W206"),
    },
    Case {
        name: "alias_expansion_by_maps",
        make: || {
            let mut text = "a0: &a0 {a: 1, b: 2, c: 3, d: 4, e: 5, f: 6, g: 7, h: 8, i: 9}\n".to_owned();
            for level in 1..10 {
                let before = level - 1;
                let keys: Vec<String> = (0..9).map(|key| format!("k{key}: *a{before}")).collect();
                let _ = writeln!(text, "a{level}: &a{level} {{{}}}", keys.join(", "));
            }
            text.into_bytes()
        },
        code: Some("W005"),
    },
    Case {
        name: "cycle_of_500",
        make: || {
            (0..500)
                .fold("id: w\ntasks:\n".to_owned(), |mut text, at| {
                    let _ = writeln!(text, "  - {{id: t{at}, type: noop, depends_on: t{}}}", (at + 499) % 500);
                    text
                })
                .into_bytes()
        },
        code: Some("W204"),
    },
    Case {
        name: "knot_of_200",
        make: || {
            let all: Vec<String> = (0..200).map(|at| format!("t{at}")).collect();
            (0..200)
                .fold("id: w\ntasks:\n".to_owned(), |mut text, at| {
                    let _ = writeln!(text, "  - {{id: t{at}, type: noop, depends_on: [{}]}}", all.join(", "));
                    text
                })
                .into_bytes()
        },
        code: Some("W203"),
    },
    Case {
        name: "tasks_10_000",
        make: || (0..10_000).fold("id: w\ntasks:\n".to_owned(), |text, at| text + &noop(at)).into_bytes(),
        code: None,
    },
    Case {
        name: "tasks_10_001",
        make: || (0..10_001).fold("id: w\ntasks:\n".to_owned(), |text, at| text + &noop(at)).into_bytes(),
        code: Some("W207"),
    },
    Case {
        name: "ten_thousand_unknown_dependencies",
        make: || {
            (0..10_000)
                .fold("id: w\ntasks:\n".to_owned(), |mut text, at| {
                    let _ = writeln!(text, "  - {{id: t{at}, type: noop, depends_on: u{at}}}");
                    text
                })
                .into_bytes()
        },
        code: Some("W202"),
    },
    Case {
        name: "rules_of_forty_parents",
        make: || {
            let mut text = "id: w\ntasks:\n".to_owned();
            for at in 0..40 {
                let _ = writeln!(text, "  - {{id: t{at}, type: noop}}");
            }
            let all: Vec<String> = (0..40).map(|at| format!("t{at}")).collect();
            let _ = writeln!(
                text,
                "  - {{id: end, type: noop, trigger_rule: one_failed, depends_on: [{}]}}",
                all.join(", ")
            );
            text.into_bytes()
        },
        code: None,
    },
    Case {
        name: "template_of_120_kb",
        make: || {
            format!("id: w\ntasks:\n  - {{id: a, type: notify, with: {{text: \"{}\"}}}}\n", "{{ ds }}".repeat(13_000))
                .into_bytes()
        },
        code: None,
    },
    Case {
        name: "template_of_500_kb",
        make: || {
            format!("id: w\ntasks:\n  - {{id: a, type: notify, with: {{text: \"{}\"}}}}\n", "{{ ds }}".repeat(60_000))
                .into_bytes()
        },
        code: Some("W401"),
    },
    Case {
        name: "template_with_deep_parentheses",
        make: || {
            format!(
                "id: w\ntasks:\n  - {{id: a, type: notify, with: {{text: \"{{{{ {}1{} }}}}\"}}}}\n",
                "(".repeat(100_000),
                ")".repeat(100_000)
            )
            .into_bytes()
        },
        code: Some("W401"),
    },
    Case {
        name: "template_with_a_long_chain",
        make: || {
            format!(
                "id: w\ntasks:\n  - {{id: a, type: notify, with: {{text: \"{{{{ run{} }}}}\"}}}}\n",
                ".a".repeat(100_000)
            )
            .into_bytes()
        },
        code: Some("W401"),
    },
    Case {
        name: "pattern_that_backtracks",
        make: || {
            format!("id: w\nparams:\n  a: {{type: string, pattern: \"^(a+)+$\", default: \"{}!\"}}\ntasks: [{{id: a, type: noop}}]\n", "a".repeat(10_000)).into_bytes()
        },
        code: Some("W602"),
    },
    Case {
        name: "random_bytes",
        make: || (0..200_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect(),
        code: Some("W002"),
    },
];

fn run(case: &Case) -> (Checked, Duration) {
    let bytes = (case.make)();
    let catalog = catalog();
    let before = cpu_time();
    let checked = check_bytes(case.name, &bytes, &catalog);
    for found in checked.diagnostics.iter().take(50) {
        assert!(!updraft_spec::diagnostic::render(found, &checked.source, false).is_empty());
    }
    (checked, cpu_time().saturating_sub(before))
}

fn cpu_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("usage");
    let micros = |time: nix::sys::time::TimeVal| time.tv_sec() * 1_000_000 + time.tv_usec();
    Duration::from_micros(
        (micros(usage.user_time()) + micros(usage.system_time())).try_into().expect("time is positive"),
    )
}

/// Runs one case under the limit; does something only in a child process that [`hurtful_files_stay_within_their_bounds`]
/// starts.
#[test]
fn child_of_the_bounds_test() {
    let Some(name) = std::env::var_os(CASE) else { return };
    let case = CASES.iter().find(|case| *case.name == *name).expect("a case");
    let pages: u64 = std::fs::read_to_string("/proc/self/statm")
        .expect("Linux")
        .split(' ')
        .next()
        .and_then(|pages| pages.parse().ok())
        .expect("a number");
    let input = (case.make)().len() as u64 * 2;
    let limit = pages * 4096 + ALLOWED_BYTES + input;
    setrlimit(Resource::RLIMIT_AS, limit, limit).expect("a lower limit is allowed");
    let (checked, cpu) = run(case);
    let codes: Vec<&str> = checked.diagnostics.iter().map(|found| found.code.name()).collect();
    match case.code {
        Some(code) => assert!(codes.contains(&code), "{codes:?}"),
        None => assert!(codes.is_empty(), "{:?}", checked.diagnostics.first()),
    }
    // A second on a quiet machine; tests beside it share caches and cores.
    assert!(cpu < Duration::from_secs(2), "took {cpu:?}");
}

#[test]
fn hurtful_files_stay_within_their_bounds() {
    let this = std::env::current_exe().expect("the test binary");
    let mut broken = Vec::new();
    for case in CASES {
        let output = Command::new(&this)
            .args(["--exact", "bounds::child_of_the_bounds_test", "--nocapture", "--test-threads=1"])
            .env(CASE, case.name)
            .env("RUST_BACKTRACE", "0")
            .output()
            .expect("starts");
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
            broken.push(format!("{}: {}\n{text}", case.name, output.status));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
