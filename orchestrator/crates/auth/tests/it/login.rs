use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use secrecy::ExposeSecret as _;
use updraft_auth::{AuthConfig, AuthError, PrincipalKind, Role, SetupLink};

use crate::world::{GOOD, HERE, OTHER, World, secret};

const HOUR: Duration = Duration::from_hours(1);

#[tokio::test]
async fn a_log_in_gives_a_session_and_every_failure_looks_the_same() {
    let world = World::new().await;
    world.user("ada", Role::Admin).await;
    let session = world.login("ada").await;
    let who = world.who(&session).await.unwrap();
    assert_eq!(
        (who.kind, who.name.as_str(), who.role, who.from.as_str()),
        (PrincipalKind::User, "ada", Role::Admin, HERE)
    );
    let second = world.login("ada").await;
    assert_ne!(session.id.expose_secret(), second.id.expose_secret(), "a new id at each log-in");
    for (name, password) in [("ada", OTHER), ("eve", GOOD), ("", ""), ("ada", &"x".repeat(100_000))] {
        let refused = world.auth.login(name, secret(password), HERE, "test").await.unwrap_err();
        assert!(matches!(refused, AuthError::BadCredentials), "{name}: {refused}");
    }
    let failed: Vec<_> = world.audited().await.into_iter().filter(|(_, action, _)| action == "login.failed").collect();
    let who: Vec<_> = failed.iter().map(|(actor, ..)| actor.as_str()).collect();
    assert_eq!(who, ["ada", "an unknown name", "an unknown name", "ada"], "what may be a password is not written down");
}

#[tokio::test]
async fn an_unknown_name_costs_as_much_time_as_a_wrong_password() {
    let world = World::new().await;
    let dear = updraft_auth::PasswordCost { memory_kib: 4096, passes: 2, lanes: 1 };
    let auth = updraft_auth::Authenticator::new(
        std::sync::Arc::clone(&world.accounts),
        AuthConfig { cost: dear, per_network: updraft_auth::RateLimit::per_minute(1000), ..AuthConfig::local() },
        std::sync::Arc::clone(&world.clock),
    );
    let new = updraft_auth::NewUser { name: "ada".to_owned(), role: Role::Viewer, password: Some(secret(GOOD)) };
    auth.add_user(&World::local(), &new, None).await.unwrap();
    let mut spent = [Duration::ZERO; 2];
    for round in 0..5 {
        for (place, name) in ["ada", "eve"].into_iter().enumerate() {
            let before = std::time::Instant::now();
            assert!(auth.login(name, secret(OTHER), HERE, "test").await.is_err());
            // The first round makes the hash that unknown names are compared with.
            if round > 0 {
                spent[place] += before.elapsed();
            }
            world.pass(Duration::from_mins(1));
        }
    }
    let ratio = spent[1].as_secs_f64() / spent[0].as_secs_f64();
    assert!((0.3..3.0).contains(&ratio), "known {:?}, unknown {:?}", spent[0], spent[1]);
}

#[tokio::test]
async fn log_ins_are_limited_per_name_and_network_and_say_when_to_try_again() {
    let world = World::new().await;
    world.user("ada", Role::Admin).await;
    for _ in 0..5 {
        assert!(matches!(world.auth.login("ada", secret(OTHER), HERE, "t").await, Err(AuthError::BadCredentials)));
    }
    let limited = world.auth.login("ada", secret(GOOD), HERE, "t").await.unwrap_err();
    let wait = limited.retry_after().unwrap();
    assert!((1..=12).contains(&wait), "{wait}");
    assert_eq!(limited.status(), 429);
    assert!(world.auth.login("ada", secret(GOOD), "198.51.100.1", "t").await.is_ok(), "a stranger locks nobody out");
    world.pass(Duration::from_secs(wait));
    assert!(world.auth.login("ada", secret(GOOD), HERE, "t").await.is_ok());
}

#[tokio::test]
async fn a_session_ends_when_idle_and_in_any_case() {
    let world = World::with(AuthConfig::exposed()).await;
    world.user("ada", Role::Admin).await;
    let idle = world.login("ada").await;
    world.pass(Duration::from_mins(29));
    assert!(world.who(&idle).await.is_some());
    world.pass(Duration::from_mins(29));
    assert!(world.who(&idle).await.is_some(), "being used keeps it");
    world.pass(Duration::from_mins(31));
    assert!(world.who(&idle).await.is_none());
    let long = world.login("ada").await;
    for _ in 0..(12 * 3 - 1) {
        world.pass(Duration::from_mins(20));
        assert!(world.who(&long).await.is_some());
    }
    world.pass(Duration::from_mins(20));
    assert!(world.who(&long).await.is_none(), "twelve hours, however busy");
    assert_eq!(world.auth.sweep().await.unwrap(), 3, "both sessions and the used link");
}

#[tokio::test]
async fn looking_at_pages_writes_at_most_once_a_minute() {
    let world = World::new().await;
    world.user("ada", Role::Admin).await;
    let session = world.login("ada").await;
    let hash = world.who(&session).await.unwrap().session.unwrap();
    let seen = async || world.accounts.session(&hash).await.unwrap().unwrap().0.last_seen_at;
    let first = seen().await;
    world.pass(Duration::from_secs(59));
    world.who(&session).await.unwrap();
    assert_eq!(seen().await, first);
    world.pass(Duration::from_secs(1));
    world.who(&session).await.unwrap();
    assert_ne!(seen().await, first);
}

#[tokio::test]
async fn a_session_made_under_wider_rules_obeys_the_narrower_ones() {
    let world = World::new().await;
    world.user("ada", Role::Admin).await;
    let session = world.login("ada").await;
    let id = session.id.expose_secret();
    let exposed = world.again(AuthConfig::exposed());
    assert!(exposed.session(id, HERE).await.is_ok());
    world.pass(HOUR);
    assert!(exposed.session(id, HERE).await.is_err(), "idle for an hour");
    assert!(world.auth.session(id, HERE).await.is_ok(), "which is little on loopback");
}

#[tokio::test]
async fn log_out_ends_the_session_at_once() {
    let world = World::new().await;
    world.user("ada", Role::Admin).await;
    let (one, two) = (world.login("ada").await, world.login("ada").await);
    let who = world.who(&one).await.unwrap();
    world.auth.logout(&who).await.unwrap();
    assert!(world.who(&one).await.is_none());
    assert!(world.who(&two).await.is_some());
    world.auth.logout(&who).await.unwrap();
}

#[tokio::test]
async fn what_is_no_session_id_is_none() {
    let world = World::new().await;
    for bad in ["", "x", "' OR 1=1 --", &"a".repeat(52), &"A".repeat(52)] {
        assert!(matches!(world.auth.session(bad, HERE).await, Err(AuthError::NotAuthenticated)), "{bad}");
    }
}

#[tokio::test]
async fn a_new_password_ends_the_other_sessions() {
    let world = World::new().await;
    world.user("ada", Role::Viewer).await;
    let (mine, other) = (world.login("ada").await, world.login("ada").await);
    let who = world.who(&mine).await.unwrap();
    let change = async |current: &str, new: &str| world.auth.change_password(&who, secret(current), secret(new)).await;
    assert!(matches!(change(OTHER, OTHER).await, Err(AuthError::BadCredentials)));
    assert!(matches!(change(GOOD, "short").await, Err(AuthError::WeakPassword(_))));
    change(GOOD, OTHER).await.unwrap();
    assert!(world.who(&mine).await.is_some());
    assert!(world.who(&other).await.is_none());
    world.pass(HOUR);
    assert!(world.auth.login("ada", secret(GOOD), HERE, "t").await.is_err());
    assert!(world.auth.login("ada", secret(OTHER), HERE, "t").await.is_ok());
    let local = World::local();
    let refused = world.auth.change_password(&local, secret(GOOD), secret(OTHER)).await;
    assert!(matches!(refused, Err(AuthError::NoPassword)));
}

#[tokio::test]
async fn the_first_admins_link_works_once_within_an_hour() {
    let world = World::new().await;
    let late = world.auth.first_admin_link().await.unwrap().unwrap();
    world.pass(HOUR);
    let setup = async |token: &str, name: &str, password: &str| {
        world.auth.setup(token, name, secret(password), HERE, "t").await.map(|session| session.principal.name)
    };
    assert!(matches!(setup(late.token.expose_secret(), "ada", GOOD).await, Err(AuthError::BadLink)));
    let older = world.auth.first_admin_link().await.unwrap().unwrap();
    let link = world.auth.first_admin_link().await.unwrap().unwrap();
    assert!(matches!(setup(older.token.expose_secret(), "ada", GOOD).await, Err(AuthError::BadLink)), "replaced");
    let token = link.token.expose_secret();
    assert_eq!(world.auth.look_at_link(token).await.unwrap(), SetupLink::FirstAdmin);
    world.pass(Duration::from_mins(1));
    // What is refused does not use the link up.
    assert!(matches!(setup(token, "Ada!", GOOD).await, Err(AuthError::BadName(_))));
    assert!(matches!(setup(token, "local", GOOD).await, Err(AuthError::ReservedName(_))));
    assert!(matches!(setup(token, "ada", "ada").await, Err(AuthError::WeakPassword(_))));
    assert_eq!(setup(token, "ada", GOOD).await.unwrap(), "ada");
    world.pass(Duration::from_mins(1));
    assert!(matches!(setup(token, "eve", GOOD).await, Err(AuthError::BadLink)), "it works once");
    assert!(world.auth.first_admin_link().await.unwrap().is_none(), "there is one");
    assert_eq!(world.accounts.user("ada").await.unwrap().unwrap().role, Role::Admin);
    let kept = format!("{link:?} {late:?}");
    assert!(!kept.contains(token), "{kept}");
}

#[tokio::test]
async fn of_many_who_come_with_one_link_one_gets_in() {
    let world = World::new().await;
    let link = world.auth.first_admin_link().await.unwrap().unwrap();
    let token = link.token.expose_secret();
    let tries = ["ada", "bob", "cyd", "dan"].map(|name| {
        let auth = &world.auth;
        async move { auth.setup(token, name, secret(GOOD), HERE, "t").await.is_ok() }
    });
    let [a, b, c, d] = tries;
    let (a, b, c, d) = tokio::join!(a, b, c, d);
    assert_eq!([a, b, c, d].into_iter().filter(|got_in| *got_in).count(), 1);
}

#[tokio::test]
async fn devs_link_works_until_the_process_ends_and_its_file_is_private() {
    let world = World::new().await;
    let file = world.folder.path().join("data/login-token");
    let auth = world.again(AuthConfig::local());
    let link = auth.dev_link(Some(&file)).unwrap();
    let token = link.token.expose_secret();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), token);
    assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    assert_eq!(auth.look_at_link(token).await.unwrap(), SetupLink::DevLogin);
    for _ in 0..3 {
        let session = auth.dev_login(token, "127.0.0.1", "t").await.unwrap();
        assert_eq!((session.principal.kind, session.principal.role), (PrincipalKind::Local, Role::Admin));
        let who = auth.session(session.id.expose_secret(), "127.0.0.1").await.unwrap();
        assert_eq!((who.kind, who.name.as_str()), (PrincipalKind::Local, "local"));
    }
    let session = auth.dev_login(token, "127.0.0.1", "t").await.unwrap();
    assert!(matches!(auth.dev_login("nonsense", "127.0.0.1", "t").await, Err(AuthError::BadLink)));
    assert!(matches!(auth.setup(token, "ada", secret(GOOD), HERE, "t").await, Err(AuthError::BadLink)));
    drop(auth);
    assert!(!file.exists(), "the file goes with the process");
    let next = world.again(AuthConfig::local());
    assert!(matches!(next.dev_login(token, "127.0.0.1", "t").await, Err(AuthError::BadLink)));
    let exposed = world.again(AuthConfig::exposed());
    assert!(exposed.session(session.id.expose_secret(), HERE).await.is_err(), "no local admin from elsewhere");
    assert!(exposed.first_admin_link().await.unwrap().is_some(), "the local admin is no admin with a password");
}
