//! `docker-compose.yaml` and what it mounts: loaded by the loader that docker compose uses, checked by rules of ours, and each
//! settings file tried on the real server where there is one. No container engine is needed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;
use updraft_testkit::process::{Finished, Program};
use updraft_testkit::services::compose;

/// The project's folder.
pub fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A copy of what the compose file names, with an `.env` made as people make it.
pub struct Stack {
    dir: TempDir,
}

impl Stack {
    pub fn new() -> Self {
        let (dir, project) = (tempfile::tempdir().unwrap(), project());
        for name in ["Dockerfile", "updraft.yaml", "workflows", "dbt", "deploy"] {
            symlink(project.join(name), dir.path().join(name)).unwrap();
        }
        fs::create_dir(dir.path().join("scripts")).unwrap();
        for name in ["docker-compose.yaml", ".env.example", "scripts/compose.sh"] {
            fs::copy(project.join(name), dir.path().join(name)).unwrap();
        }
        Self { dir }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `scripts/compose.sh` with these arguments, and these folders as its PATH.
    fn script(&self, arguments: &[&str], path: &str) -> Finished {
        Program::new("/bin/bash")
            .arg(self.path("scripts/compose.sh"))
            .args(arguments)
            .folder(self.dir.path())
            .env("PATH", path)
            .run()
            .unwrap()
    }

    fn change(&self, from: &str, to: &str) {
        let file = self.path("docker-compose.yaml");
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "the file has no `{from}`");
        fs::write(file, text.replacen(from, to, 1)).unwrap();
    }

    fn check(&self, checker: &Path) -> Finished {
        Program::new(checker).arg(self.path("docker-compose.yaml")).folder(self.dir.path()).run().unwrap()
    }
}

const TOOLS: &str = "/usr/bin:/bin";

fn with_env() -> Stack {
    let stack = Stack::new();
    let made = stack.script(&["env"], TOOLS);
    assert_eq!(made.code(), Some(0), "{}", made.err);
    stack
}

#[test]
fn the_file_is_what_compose_loads_and_the_small_part_fits_into_4_gb() {
    let Some(checker) = compose::checker().unwrap() else { return };
    let stack = with_env();
    let checked = stack.check(&checker);
    assert_eq!(checked.code(), Some(0), "{}", checked.err);
    let report: Value = serde_json::from_str(&checked.out).unwrap();
    let names = |field: &str| -> Vec<&str> {
        report[field].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect()
    };
    for name in ["updraft", "postgres", "kafka", "clickhouse", "minio"] {
        assert!(names("small").contains(&name), "{report}");
    }
    for name in ["spark-master", "spark-worker", "connect", "prometheus", "grafana", "jupyter"] {
        assert!(names("services").contains(&name) && !names("small").contains(&name), "{report}");
    }
    assert!(report["small_mib"].as_i64().unwrap() <= 4096, "{report}");
    // The files that testkit starts the same servers with (`include_str!`), and no others of these kinds.
    for file in [
        "deploy/postgres/postgresql.conf",
        "deploy/kafka/server.properties",
        "deploy/kafka/log4j2.properties",
        "deploy/connect/connect.properties",
        "deploy/prometheus/prometheus.yml",
        "deploy/spark/spark.properties",
    ] {
        assert!(names("mounts").contains(&file), "{file} is not mounted: {report}");
    }
}

/// What is made wrong, and what is said of it.
const WRONG: [(&str, &str, &str); 25] = [
    (
        "127.0.0.1:${POSTGRES_PORT:-5432}:5432",
        "${POSTGRES_PORT:-5432}:5432",
        "service postgres: port 5432 is published on",
    ),
    (
        "127.0.0.1:${KAFKA_PORT:-9092}:29092",
        "0.0.0.0:9092:29092",
        "service kafka: port 9092 is published on \"0.0.0.0\"",
    ),
    ("127.0.0.1:${MINIO_CONSOLE_PORT:-9001}", "127.0.0.1:3000", "both publish port 3000/tcp"),
    ("    shm_size: 128m\n", "    network_mode: host\n", "service postgres"),
    ("test: [CMD, mc, ready, local]", "disable: true", "service minio: it has no health check"),
    ("    mem_limit: 448m\n", "", "service postgres: it has no memory limit"),
    ("mem_limit: 448m", "mem_limit: 2g", "add up to"),
    ("minio/minio:RELEASE.2025-09-07T16-13-09Z", "minio/minio:latest", "the tag latest of the image"),
    ("grafana/grafana:12.4.0", "grafana/grafana", "has no tag, which means latest"),
    ("postgres:18.6-bookworm", "postgres:18", "the tag 18 of the image"),
    ("${GRAFANA_ADMIN_PASSWORD:?run make env}", "admin", "environment.GF_SECURITY_ADMIN_PASSWORD"),
    ("${JUPYTER_TOKEN:?run make env}", "${JUPYTER_TOKEN:-letmein}", "environment.JUPYTER_TOKEN"),
    (
        "postgres://updraft:${UPDRAFT_DB_PASSWORD:?run make env}@",
        "postgres://updraft:updraft@",
        "environment.UPDRAFT_STORE",
    ),
    ("--storage.tsdb.retention.size=2GB", "--web.password=hunter2", "service prometheus: a secret is written"),
    (
        "./deploy/postgres/postgresql.conf:",
        "./deploy/postgres/postgres.conf:",
        "is not there: deploy/postgres/postgres.conf",
    ),
    ("kafka:/var/lib/kafka/data", "/var/run/docker.sock:/var/run/docker.sock", "the engine's socket"),
    ("    shm_size: 128m\n", "    privileged: true\n", "it is privileged"),
    ("    shm_size: 128m\n", "    shm_sise: 128m\n", "shm_sise"),
    ("kafka-topics: {condition", "kafka-topic: {condition", "kafka-topic"),
    ("postgres: {condition: service_healthy}", "postgres: {condition: service_well}", "condition value must be one of"),
    (
        "kafka-topics: {condition: service_completed_successfully}",
        "kafka-topics: {condition: service_healthy}",
        "it waits for the health of the job kafka-topics",
    ),
    (
        "image: apache/kafka:4.3.1\n    entrypoint: [/bin/bash, /etc/updraft/start.sh]",
        "profiles: [x]\n    image: apache/kafka:4.3.1",
        "kafka",
    ),
    ("    build: *build-spark\n", "", "service spark-worker: the image updraft-spark:0.1.0 would be pulled"),
    ("target: connect}", "target: konnect}", "Dockerfile has no stage konnect"),
    ("${MINIO_ROOT_USER:?run make env}", "${MINIO_USER:?run make env}", "required variable MINIO_USER is missing"),
];

#[test]
fn a_file_made_bad_in_each_way_is_refused() {
    let Some(checker) = compose::checker().unwrap() else { return };
    for (from, to, said) in WRONG {
        let stack = with_env();
        stack.change(from, to);
        let checked = stack.check(&checker);
        assert_eq!(checked.code(), Some(1), "`{from}` as `{to}` passes: {}", checked.out);
        assert!(checked.err.contains(said), "`{from}` as `{to}`: {}", checked.err);
    }
}

#[test]
fn without_secrets_nothing_starts_and_no_secret_has_a_default() {
    let Some(checker) = compose::checker().unwrap() else { return };
    let stack = Stack::new();
    fs::copy(stack.path(".env.example"), stack.path(".env")).unwrap();
    let checked = stack.check(&checker);
    assert_eq!(checked.code(), Some(1), "{}", checked.out);
    for name in
        ["POSTGRES_PASSWORD", "UPDRAFT_MASTER_KEY", "MINIO_ROOT_PASSWORD", "GRAFANA_ADMIN_PASSWORD", "JUPYTER_TOKEN"]
    {
        assert!(
            checked.err.contains(&format!("required variable {name} is missing a value: run make env")),
            "{}",
            checked.err
        );
    }
}

#[test]
fn secrets_are_made_once_for_this_user_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let stack = with_env();
    let file = stack.path(".env");
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let secrets: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|(_, value)| value)
        .collect();
    assert!(secrets.iter().all(|value| !value.is_empty()), "{secrets:?}");
    let different: std::collections::BTreeSet<_> = secrets.iter().collect();
    assert_eq!(different.len(), secrets.len(), "two secrets are the same");
    let again = stack.script(&["env"], TOOLS);
    assert!(again.code() == Some(0) && again.err.contains("stays as it is"), "{}", again.err);
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
}

#[test]
fn where_docker_is_missing_or_silent_people_are_told_what_to_do() {
    let stack = Stack::new();
    // A folder with what the script needs, and no docker.
    let bin = stack.path("bin");
    fs::create_dir(&bin).unwrap();
    for tool in ["dirname", "cat", "mv", "head", "od", "tr", "base64", "sed", "grep", "tail"] {
        let found =
            ["/usr/bin", "/bin"].iter().map(|folder| Path::new(folder).join(tool)).find(|file| file.exists()).unwrap();
        symlink(found, bin.join(tool)).unwrap();
    }
    let path = bin.display().to_string();
    for command in ["up", "down", "logs"] {
        let said = stack.script(&[command], &path);
        assert_eq!(said.code(), Some(1), "{}", said.out);
        assert!(said.err.contains("error: docker is not here\nhelp: install Docker Engine"), "{}", said.err);
    }
    assert!(!stack.path(".env").exists(), "a start that cannot be made leaves secrets behind");
    // A client without its plugin, then with it and without an engine.
    let docker = |text: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        fs::write(bin.join("docker"), format!("#!/bin/bash\n{text}\n")).unwrap();
        fs::set_permissions(bin.join("docker"), fs::Permissions::from_mode(0o755)).unwrap();
        stack.script(&["up"], &path)
    };
    assert!(docker("exit 1").err.contains("docker has no compose plugin"));
    assert!(docker("[ \"$1\" = compose ]").err.contains("Docker's engine does not answer"));
    let started = docker(
        "echo \"$@\" >>said; case \"$*\" in *port*) echo 127.0.0.1:8765;; *logs*) printf 'Updraft is at x. It has no admin yet; once:\n  http://127.0.0.1:8765/x\n';; esac",
    );
    assert_eq!(started.code(), Some(0), "{}", started.err);
    let said = fs::read_to_string(stack.path("said")).unwrap();
    assert!(said.contains("compose up --detach --build --wait"), "{said}");
    assert!(started.out.contains("Updraft is at http://127.0.0.1:8765\n"), "{}", started.out);
    assert!(started.out.ends_with("  http://127.0.0.1:8765/x\n"), "{}", started.out);
    assert!(stack.path(".env").exists());
}
