//! A server over a real store and engine, and a client of it over real TCP.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use updraft_api::{ApiConfig, ApiState, Asset, Assets, Listener, app, serve};
use updraft_auth::{
    AuthConfig, Authenticator, Connections, Door, DoorConfig, KeyOrigin, LogIn, NewToken, PasswordCost, Principal,
    Role, Sources, StoreFacts, Vault, judge,
};
use updraft_engine::scheduler::SchedulerConfig;
use updraft_engine::{Clock as _, Engine, EngineConfig, NoConnections, SystemClock};
use updraft_model::time::Timestamp;
use updraft_store::accounts::Accounts;
use updraft_store::logs::Logs;
use updraft_store::scheduling::ScheduledVersion;
use updraft_store::{History, Idempotency, NewVersion, Reader, Scheduling, Store};
use updraft_store_postgres::PgStore;
use updraft_store_sqlite::{OpenOptions, SqliteStore};
use updraft_task::{ConnectionNeed, Context, Effects, ErrorClass, Level, Output, Registry, Task, TaskError};

pub fn now() -> Timestamp {
    Timestamp::from_datetime(chrono::Utc::now())
}

/// Does what its parameters say.
pub struct Act;

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// `ok` (default), `fail`, `hang`, `child` (lines as if one had said them).
    #[serde(default)]
    act: String,
    /// Goes into the output and the log.
    #[serde(default)]
    say: Value,
    /// How often it goes into the log; once if left out.
    #[serde(default)]
    lines: Option<u32>,
}

impl Task for Act {
    const TYPE: &'static str = "act";
    const SUMMARY: &'static str = "Does what it is told";
    const EFFECTS: Effects = Effects::Idempotent;
    const CONNECTION: ConnectionNeed = ConnectionNeed::None;
    const ERRORS: &'static [ErrorClass] = &[];
    const EXAMPLE: &'static str = "";
    type Params = Params;
    type Output = Value;

    async fn run(params: Params, ctx: &Context) -> Result<Value, TaskError> {
        for _ in 0..params.lines.unwrap_or(1) {
            ctx.info(format!("saying {}", params.say));
        }
        if params.act == "child" {
            ctx.log_child(Output::Stdout, Level::Info, "on stdout");
            ctx.log_child(Output::Stderr, Level::Warn, "on stderr");
        }
        match params.act.as_str() {
            "fail" => Err(TaskError::fail("Broken", "it is broken\nbeyond repair")),
            "hang" => {
                ctx.cancelled().cancelled().await;
                Err(TaskError::cancelled())
            }
            _ => Ok(json!({ "said": params.say })),
        }
    }
}

struct Page;

impl Assets for Page {
    fn get(&self, path: &str) -> Option<Asset> {
        let (bytes, content_type): (&'static [u8], &str) = match path {
            "index.html" => (b"<!doctype html><title>Updraft</title>", "text/html; charset=utf-8"),
            "assets/app-1.js" => (b"console.log(1)", "text/javascript"),
            "assets/app-1.js.br" => (b"packed", "application/octet-stream"),
            _ => return None,
        };
        Some(Asset { bytes: bytes.into(), content_type: content_type.to_owned(), hash: path.len().to_string() })
    }
}

/// A store by all its sides.
struct Sides {
    store: Arc<dyn Store>,
    reader: Arc<dyn Reader>,
    scheduling: Arc<dyn Scheduling>,
    logs: Arc<dyn Logs>,
    accounts: Arc<dyn Accounts>,
    history: Arc<dyn History>,
    idempotency: Arc<dyn Idempotency>,
}

impl Sides {
    fn of<S: Store + Scheduling + Logs + Accounts + History + Idempotency>(
        store: &Arc<S>,
        reader: Arc<dyn Reader>,
    ) -> Self {
        Self {
            store: Arc::<S>::clone(store),
            reader,
            scheduling: Arc::<S>::clone(store),
            logs: Arc::<S>::clone(store),
            accounts: Arc::<S>::clone(store),
            history: Arc::<S>::clone(store),
            idempotency: Arc::<S>::clone(store),
        }
    }

    async fn sqlite(folder: &Path) -> Self {
        let store = SqliteStore::open(folder.join("updraft.db"), OpenOptions::default()).await.unwrap();
        let reader = Arc::new(store.reader());
        Self::of(&Arc::new(store), reader)
    }

    async fn postgres(url: &str) -> Self {
        let store = Arc::new(PgStore::open(url).await.unwrap());
        Self::of(&store, Arc::<PgStore>::clone(&store))
    }
}

/// A running server.
pub struct Server {
    pub url: String,
    pub client: Client,
    pub scheduling: Arc<dyn Scheduling>,
    pub auth: Arc<Authenticator>,
    pub stop: CancellationToken,
    pub engine: Arc<Engine>,
    pub folder: TempDir,
    pub app: axum::Router,
    serving: Option<JoinHandle<()>>,
}

fn door() -> Door {
    let listen = vec!["127.0.0.1:0".parse().unwrap()];
    judge(&DoorConfig::local(listen, LogIn::DevLink, KeyOrigin::Generated("key".into()), StoreFacts::Sqlite)).unwrap()
}

impl Server {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// Over this database.
    pub async fn on_postgres(url: &str) -> Self {
        Self::over(tempfile::tempdir().unwrap(), Sides::postgres(url).await, |_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut ApiConfig)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sides = Sides::sqlite(folder.path()).await;
        Self::over(folder, sides, change).await
    }

    async fn over(folder: TempDir, sides: Sides, change: impl FnOnce(&mut ApiConfig)) -> Self {
        let mut registry = Registry::new();
        registry.add::<Act>();
        let registry = Arc::new(registry);
        let clock = Arc::new(SystemClock::default());
        let mut engine = EngineConfig::new(
            Arc::clone(&sides.store),
            Arc::clone(&sides.reader),
            Arc::clone(&registry),
            Arc::new(NoConnections),
            folder.path(),
        );
        engine.queues = vec![SchedulerConfig::QUEUE.to_owned()];
        engine.scheduling = Some(Arc::clone(&sides.scheduling));
        engine.logs = Some(Arc::clone(&sides.logs));
        let engine = Arc::new(Engine::start(engine).await.unwrap());
        let accounts = Arc::clone(&sides.accounts);
        let config = AuthConfig { cost: PasswordCost::cheap(), ..AuthConfig::local() };
        let time = Arc::clone(&clock);
        let auth = Arc::new(Authenticator::new(Arc::clone(&accounts), config, Arc::new(move || time.now())));
        let vault = Arc::new(Vault::load(KeyOrigin::choose(None, None, folder.path().join("key"))).unwrap());
        let connections =
            Connections::open(Arc::clone(&accounts), vault, Vec::new(), Sources::default()).await.unwrap();
        let stop = CancellationToken::new();
        let mut config = ApiConfig {
            engine: Arc::clone(&engine),
            store: sides.store,
            reader: sides.reader,
            history: sides.history,
            logs: sides.logs,
            scheduling: Arc::clone(&sides.scheduling),
            accounts,
            idempotency: sides.idempotency,
            authenticator: Arc::clone(&auth),
            door: Arc::new(door()),
            connections: Arc::new(connections),
            scheduler: None,
            catalog: None,
            registry,
            spec: tokio::sync::watch::channel(Arc::new(updraft_spec::Catalog::new())).1,
            clock,
            assets: Some(Arc::new(Page)),
            previewer: None,
            upkeep: Arc::new(Vec::new),
            build: "test".to_owned(),
            request_timeout: Duration::from_secs(10),
            stop: stop.clone(),
        };
        change(&mut config);
        let app = app(ApiState::new(config));
        let listener = Listener::tcp("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let url = format!("http://{}", listener.address().unwrap());
        let serving = Some(tokio::spawn(serve(app.clone(), vec![listener], stop.clone())));
        let client = Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { url, client, scheduling: sides.scheduling, auth, stop, engine, folder, app, serving }
    }

    /// A token of this role.
    pub async fn token(&self, role: Role) -> String {
        let admin = Principal::of_socket(1, 1, None).unwrap();
        let new = NewToken { name: role.to_string(), role, scopes: Vec::new(), expires_in: None };
        self.auth.create_token(&admin, &new, None).await.unwrap().1.expose_secret().to_owned()
    }

    /// Publishes a workflow of these tasks.
    pub async fn publish(&self, id: &str, more: Value, tasks: Value) {
        let mut written = json!({ "id": id, "max_active_runs": 4, "tasks": tasks });
        for (key, value) in more.as_object().into_iter().flatten() {
            written[key] = value.clone();
        }
        let compiled = written.to_string();
        let version = NewVersion {
            workflow: id.to_owned(),
            sha256: updraft_model::canonical::sha256_hex(compiled.as_bytes()),
            source: compiled.clone(),
            path: format!("{id}.yaml"),
            compiled: compiled.clone(),
        };
        let workflow = serde_json::from_str(&compiled).unwrap();
        let scheduled = ScheduledVersion { version, workflow, source: "test".to_owned() };
        self.scheduling.publish_all(&[scheduled], now()).await.unwrap();
    }

    pub fn ask(&self, method: Method, path: &str, token: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.url));
        if token.is_empty() { request } else { request.bearer_auth(token) }
    }

    pub async fn get(&self, path: &str, token: &str) -> Response {
        self.ask(Method::GET, path, token).send().await.unwrap()
    }

    pub async fn json(&self, path: &str, token: &str) -> Value {
        let response = self.get(path, token).await;
        let status = response.status();
        let text = response.text().await.unwrap();
        assert_eq!(status, StatusCode::OK, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    pub async fn post(&self, path: &str, token: &str, body: Value) -> (StatusCode, Value) {
        let response = self.ask(Method::POST, path, token).json(&body).send().await.unwrap();
        (response.status(), response.json().await.unwrap_or(Value::Null))
    }

    /// Waits until a run is over; answers with it.
    pub async fn ended(&self, run: &str, token: &str) -> Value {
        for _ in 0..500 {
            let found = self.json(&format!("/api/v1/runs/{run}"), token).await;
            if ["succeeded", "failed", "cancelled"].contains(&found["state"].as_str().unwrap_or_default()) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("run {run} does not end");
    }

    /// Makes a user and logs them in; answers with the cookie.
    pub async fn cookie(&self, name: &str, role: Role) -> String {
        let admin = Principal::of_socket(1, 1, None).unwrap();
        let new = updraft_auth::NewUser { name: name.to_owned(), role, password: None };
        let (_, link) = self.auth.add_user(&admin, &new, None).await.unwrap();
        let token = link.unwrap().token;
        let secret = SecretString::from("a long enough phrase 1");
        let session = self.auth.setup(token.expose_secret(), name, secret, "127.0.0.1", "test").await.unwrap();
        format!("{}={}", updraft_api::COOKIE, session.id.expose_secret())
    }

    pub async fn end(mut self) {
        self.stop.cancel();
        if let Some(serving) = self.serving.take() {
            tokio::time::timeout(Duration::from_secs(10), serving).await.expect("the server ends").unwrap();
        }
        self.engine.shutdown().await;
    }
}
