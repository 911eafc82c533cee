use std::collections::BTreeMap;
use std::sync::Arc;

use secrecy::SecretString;
use serde_json::{Map, Value, json};
use updraft_auth::{ConnectionError, ConnectionView, Connections, KeyOrigin, KindSpec, Source, Sources, Vault};
use updraft_model::time::Timestamp;

use crate::world::World;

const AT: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn kinds() -> Vec<KindSpec> {
    let secret = json!({ "type": "string", "writeOnly": true, "format": "password" });
    let api = json!({
        "type": "object",
        "properties": {
            "base_url": { "type": "string" },
            "port": { "type": ["integer", "null"] },
            "tls": { "type": "boolean", "default": true },
            "token": { "anyOf": [secret, { "type": "null" }] },
            "headers": { "type": "object", "additionalProperties": secret },
        },
        "required": ["base_url"],
        "additionalProperties": false,
    });
    let other = json!({ "type": "object", "properties": { "token": secret } });
    vec![
        KindSpec { name: "api".to_owned(), summary: "a test kind".to_owned(), schema: api },
        KindSpec { name: "other".to_owned(), summary: "another".to_owned(), schema: other },
    ]
}

fn map(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap()
}

fn vault(seed: &str) -> Arc<Vault> {
    let key = |seed: &str| updraft_model::canonical::sha256_hex(seed.as_bytes());
    let keys = seed.split(',').map(key).collect::<Vec<_>>().join(",");
    Arc::new(Vault::load(KeyOrigin::Text(SecretString::from(keys))).unwrap())
}

fn sources(profile: &[(&str, Value)], environment: &[(&str, &str)]) -> Sources {
    Sources {
        profile: profile.iter().map(|(name, entry)| ((*name).to_owned(), map(entry.clone()))).collect(),
        environment: environment.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
    }
}

async fn open(world: &World, keys: &str, sources: Sources) -> Connections {
    Connections::open(Arc::clone(&world.accounts), vault(keys), kinds(), sources).await.unwrap()
}

/// Where each field comes from, and what is shown of it.
fn fields(view: &ConnectionView) -> BTreeMap<&str, (Source, Option<&Value>)> {
    view.fields.iter().map(|field| (field.name.as_str(), (field.source, field.value.as_ref()))).collect()
}

#[tokio::test]
async fn each_field_comes_from_the_strongest_source_and_says_so() {
    let world = World::new().await;
    let profile = [("svc", json!({ "kind": "api", "base_url": "http://file", "port": 1 }))];
    let environment = [
        ("UPDRAFT_CONN_SVC__PORT", "2"),
        ("UPDRAFT_CONN_SVC__HEADERS", r#"{"x-key":"hunter2"}"#),
        ("UPDRAFT_CONN_NOBODY__X", "1"),
    ];
    let connections = open(&world, "k1", sources(&profile, &environment)).await;
    let stored = map(json!({ "base_url": "http://store", "port": 3, "token": "hunter3" }));
    let view = connections.put("svc", "api", &stored, "ada", AT).await.unwrap();
    let shown = fields(&view);
    assert_eq!(shown["base_url"], (Source::File, Some(&json!("http://file"))));
    assert_eq!(shown["port"], (Source::Environment, Some(&json!(2))));
    assert_eq!(shown["tls"], (Source::Default, Some(&json!(true))));
    assert_eq!(shown["token"], (Source::Store, None));
    assert_eq!(shown["headers"], (Source::Environment, None));
    assert_eq!((view.source, view.error.as_deref(), view.updated_by.as_deref()), (Source::File, None, Some("ada")));
    let resolved = connections.get("svc").unwrap();
    let expected =
        json!({ "base_url": "http://file", "port": 2, "token": "hunter3", "headers": { "x-key": "hunter2" } });
    assert_eq!(Value::Object(resolved.fields.clone()), expected);
    let told = format!("{:?} {:?} {}", resolved, view, serde_json::to_string(&view).unwrap());
    assert!(!told.contains("hunter"), "{told}");
    assert_eq!(connections.warnings(), ["UPDRAFT_CONN_NOBODY__X fits no connection and is not used"]);
}

#[tokio::test]
async fn a_change_counts_at_once_and_elsewhere_after_a_look() {
    let world = World::new().await;
    let here = open(&world, "k1", Sources::default()).await;
    let there = open(&world, "k1", Sources::default()).await;
    assert!(here.get("svc").is_none());
    here.put("svc", "api", &map(json!({ "base_url": "http://a" })), "ada", AT).await.unwrap();
    assert_eq!(here.get("svc").unwrap().fields["base_url"], "http://a");
    assert!(there.get("svc").is_none());
    assert!(there.refresh().await.unwrap());
    assert!(!there.refresh().await.unwrap(), "nothing new");
    assert_eq!(there.names(), ["svc"]);
    here.remove("svc").await.unwrap();
    assert!(here.get("svc").is_none());
    assert!(matches!(here.remove("svc").await, Err(ConnectionError::Missing(..))));
}

#[tokio::test]
async fn secrets_are_write_only_and_lie_sealed() {
    let world = World::new().await;
    let connections = open(&world, "k1", Sources::default()).await;
    let put = async |fields: Value| connections.put("svc", "api", &map(fields), "ada", AT).await.unwrap();
    let canary = "canary-8f3a1c";
    put(json!({ "base_url": "http://a", "token": canary, "headers": { "x": canary } })).await;
    let token = || connections.get("svc").unwrap().fields.get("token").cloned();
    put(json!({ "base_url": "http://b" })).await;
    assert_eq!(token(), Some(json!(canary)), "left out, it stays");
    for file in std::fs::read_dir(world.folder.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(canary.len()).any(|window| window == canary.as_bytes()), "the secret lies open");
    }
    put(json!({ "base_url": "http://b", "token": null })).await;
    assert_eq!(token(), None, "null takes it away");
    assert!(connections.get("svc").unwrap().fields.contains_key("headers"));
    connections.put("svc", "other", &Map::new(), "ada", AT).await.unwrap();
    assert!(connections.get("svc").unwrap().fields.is_empty(), "another kind has other secrets");
}

#[tokio::test]
async fn what_was_shown_masked_and_comes_back_so_stays_as_it_was() {
    let world = World::new().await;
    let connections = open(&world, "k1", Sources::default()).await;
    let put =
        async |url: &str| connections.put("svc", "api", &map(json!({ "base_url": url })), "ada", AT).await.unwrap();
    let view = put("http://u:hunter2@host").await;
    assert_eq!(fields(&view)["base_url"].1, Some(&json!("http://u:***@host")));
    put("http://u:***@host").await;
    assert_eq!(connections.get("svc").unwrap().fields["base_url"], "http://u:hunter2@host");
    put("http://u:***@other").await;
    assert_eq!(connections.get("svc").unwrap().fields["base_url"], "http://u:***@other", "a new text is a new text");
}

#[tokio::test]
async fn what_does_not_fit_is_refused_without_repeating_values() {
    let world = World::new().await;
    let connections = open(&world, "k1", Sources::default()).await;
    let refused = async |name: &str, kind: &str, fields: Value| {
        let error = connections.put(name, kind, &map(fields), "ada", AT).await.unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
        (error.code(), error.to_string())
    };
    for (fields, says) in [
        (json!({}), "base_url"),
        (json!({ "base_url": 5 }), "string"),
        (json!({ "base_url": "http://a", "tokn": "hunter2" }), "has no field `tokn`; it has base_url"),
        (json!({ "base_url": "http://a", "token": { "hunter2": 1 } }), "/token"),
        (json!({ "base_url": "http://a", "headers": { "x": ["hunter2"] } }), "/headers/x"),
        (json!({ "base_url": "http://a", "port": "hunter2" }), "/port"),
    ] {
        let (code, text) = refused("svc", "api", fields).await;
        assert_eq!(code, "bad_connection_fields");
        assert!(text.contains(says), "{text}");
    }
    assert_eq!(refused("svc", "nothing", json!({})).await.0, "unknown_connection_kind");
    assert_eq!(refused("../etc", "api", json!({})).await.0, "bad_connection_name");
    connections.put("my-svc", "api", &map(json!({ "base_url": "http://a" })), "ada", AT).await.unwrap();
    assert_eq!(refused("my_svc", "api", json!({ "base_url": "http://a" })).await.0, "connection_name_collides");
}

#[tokio::test]
async fn what_the_environment_gives_need_not_be_stored() {
    let world = World::new().await;
    let connections = open(&world, "k1", sources(&[], &[("UPDRAFT_CONN_SVC__BASE_URL", "http://env")])).await;
    assert!(connections.get("svc").is_none(), "variables alone make no connection");
    let view = connections.put("svc", "api", &Map::new(), "ada", AT).await.unwrap();
    assert_eq!((fields(&view)["base_url"].0, view.error), (Source::Environment, None));
}

#[tokio::test]
async fn a_broken_connection_says_why_and_the_others_work() {
    let world = World::new().await;
    let profile = [
        ("bad", json!({ "kind": "api" })),
        ("strange", json!({ "kind": "nothing" })),
        ("good", json!({ "kind": "api", "base_url": "postgres://u:hunter2@db" })),
    ];
    let environment = [("UPDRAFT_CONN_GOOD__TLS", "hunter2"), ("UPDRAFT_CONN_GOOD__PASWORD", "hunter2")];
    let connections = open(&world, "k1", sources(&profile, &environment)).await;
    let error = |name: &str| connections.view(name).unwrap().error.unwrap();
    assert!(error("bad").contains("base_url"));
    assert!(error("strange").contains("does not know the kind `nothing`"));
    assert!(error("good").contains("not JSON") && error("good").contains("no such field"), "{}", error("good"));
    let told = serde_json::to_string(&connections.list()).unwrap();
    assert!(!told.contains("hunter2"), "{told}");
    assert_eq!(connections.names(), ["bad", "good"]);
}

#[tokio::test]
async fn rotation_seals_everything_anew() {
    let world = World::new().await;
    let old = open(&world, "k1", Sources::default()).await;
    for name in ["a", "b"] {
        old.put(name, "other", &map(json!({ "token": "hunter2" })), "ada", AT).await.unwrap();
    }
    old.put("c", "other", &Map::new(), "ada", AT).await.unwrap();
    let both = open(&world, "k2,k1", Sources::default()).await;
    assert_eq!(both.get("a").unwrap().fields["token"], "hunter2", "the old key opens");
    both.put("b", "other", &Map::new(), "ada", AT).await.unwrap();
    let rotated = vault("k2,k1").rotate(&world.accounts).await.unwrap();
    assert_eq!((rotated.resealed, rotated.current, rotated.without, rotated.failed.len()), (1, 1, 1, 0));
    let new = open(&world, "k2", Sources::default()).await;
    for name in ["a", "b"] {
        assert_eq!(new.get(name).unwrap().fields["token"], "hunter2");
    }
    let lost = open(&world, "k3", Sources::default()).await;
    let error = lost.view("a").unwrap().error.unwrap();
    assert!(error.contains("master key") && error.contains("add the old key"), "{error}");
    assert_eq!(vault("k3").rotate(&world.accounts).await.unwrap().failed.len(), 2);
}
