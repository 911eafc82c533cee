//! Cases of users, sessions, tokens, links, the audit log and connections. `handles` are one or more handles on one
//! empty store: what one did, the others see at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, json};
use updraft_model::access::Role;
use updraft_model::time::Timestamp;

use crate::StoreError;
use crate::accounts::{
    Accounts, AuditFilter, Changed, FIRST_PREV, Link, LinkPurpose, NewAudit, Session, StoredConnection, Token, User,
    UserChange, verify,
};

type Handles = [Arc<dyn Accounts>];

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000 + seconds * 1000)
}

fn hash(letter: char) -> String {
    letter.to_string().repeat(64)
}

fn user(name: &str, role: Role) -> User {
    User {
        name: name.to_owned(),
        role,
        password_hash: Some(format!("$argon2id${name}")),
        must_change_password: false,
        disabled: false,
        created_at: at(0),
        last_login_at: None,
    }
}

fn session(letter: char, user: &str) -> Session {
    Session {
        id_hash: hash(letter),
        user: user.to_owned(),
        created_at: at(1),
        last_seen_at: at(1),
        idle_until: at(100),
        expires_at: at(1000),
        address: "127.0.0.1".to_owned(),
        user_agent: "a browser".to_owned(),
    }
}

fn token(id: &str, letter: char, owner: Option<&str>) -> Token {
    Token {
        id: id.to_owned(),
        name: "ci".to_owned(),
        role: Role::Operator,
        scopes: vec!["read".to_owned(), "run".to_owned()],
        hash: hash(letter),
        prefix: "upd_abcd".to_owned(),
        owner: owner.map(str::to_owned),
        created_by: owner.unwrap_or("local").to_owned(),
        created_at: at(0),
        expires_at: Some(at(500)),
        last_used_at: None,
    }
}

fn link(letter: char, purpose: LinkPurpose, user: Option<&str>) -> Link {
    Link {
        hash: hash(letter),
        purpose,
        user: user.map(str::to_owned),
        created_at: at(0),
        expires_at: at(3600),
        used_at: None,
    }
}

fn audit(actor: &str, action: &str, subject: &str, second: i64) -> NewAudit {
    NewAudit {
        at: at(second),
        actor: actor.to_owned(),
        role: Some("operator".to_owned()),
        from: "127.0.0.1".to_owned(),
        action: action.to_owned(),
        subject: subject.to_owned(),
        reason: Some("because".to_owned()),
        detail: json!({ "runs": 1, "ö": [1.5, "\u{1F6EB}"] }),
    }
}

fn first(handles: &Handles) -> &dyn Accounts {
    handles.first().expect("a handle").as_ref()
}

fn last(handles: &Handles) -> &dyn Accounts {
    handles.last().expect("a handle").as_ref()
}

/// A name is taken once; users come by name, page by page.
pub async fn users_are_added_changed_and_listed(handles: &Handles) {
    let (one, two) = (first(handles), last(handles));
    assert!(!one.has_admin().await.expect("has admin"));
    for (name, role) in [("zoe", Role::Viewer), ("ada", Role::Admin), ("Bob", Role::Editor)] {
        assert!(one.add_user(&user(name, role)).await.expect("add"));
    }
    assert!(!two.add_user(&user("ada", Role::Viewer)).await.expect("add"), "the name is taken");
    assert!(two.has_admin().await.expect("has admin"));
    assert_eq!(two.user("ada").await.expect("user"), Some(user("ada", Role::Admin)));
    assert_eq!(two.user("Ada").await.expect("user"), None);
    let names = |users: Vec<User>| users.into_iter().map(|user| user.name).collect::<Vec<_>>();
    assert_eq!(names(one.users(None, 2).await.expect("users")), ["Bob", "ada"]);
    assert_eq!(names(one.users(Some("ada"), 2).await.expect("users")), ["zoe"]);
    let change = UserChange {
        role: Some(Role::Operator),
        password: Some(("$argon2id$new".to_owned(), true)),
        ..UserChange::default()
    };
    assert_eq!(one.change_user("zoe", &change).await.expect("change"), Changed::Done);
    let zoe = two.user("zoe").await.expect("user").expect("there");
    assert_eq!((zoe.role, zoe.must_change_password, zoe.disabled), (Role::Operator, true, false));
    assert_eq!(zoe.password_hash.as_deref(), Some("$argon2id$new"));
    assert_eq!(one.change_user("eve", &change).await.expect("change"), Changed::Missing);
    assert_eq!(one.remove_user("eve").await.expect("remove"), Changed::Missing);
}

/// Nobody can shut everybody out, also not two admins each other at once.
pub async fn the_last_admin_stays(handles: &Handles) {
    let (one, two) = (first(handles), last(handles));
    let mut without = user("local", Role::Admin);
    without.password_hash = None;
    assert!(one.add_user(&without).await.expect("add"));
    assert!(!one.has_admin().await.expect("has admin"), "one without a password does not count");
    assert!(one.add_user(&user("ada", Role::Admin)).await.expect("add"));
    let demote = UserChange { role: Some(Role::Editor), ..UserChange::default() };
    let disable = UserChange { disabled: Some(true), ..UserChange::default() };
    assert_eq!(one.change_user("ada", &demote).await.expect("change"), Changed::LastAdmin);
    assert_eq!(one.change_user("ada", &disable).await.expect("change"), Changed::LastAdmin);
    assert_eq!(one.remove_user("ada").await.expect("remove"), Changed::LastAdmin);
    assert_eq!(one.remove_user("local").await.expect("remove"), Changed::Done);
    assert!(one.add_user(&user("bob", Role::Admin)).await.expect("add"));
    let (a, b) = tokio::join!(one.remove_user("ada"), two.change_user("bob", &disable));
    let mut ends = [a.expect("remove"), b.expect("change")];
    ends.sort_by_key(|end| *end == Changed::LastAdmin);
    assert_eq!(ends, [Changed::Done, Changed::LastAdmin]);
    assert!(two.has_admin().await.expect("has admin"));
}

/// A session is there until it is ended, with its user as they are now.
pub async fn sessions_begin_are_touched_and_end(handles: &Handles) {
    let (one, two) = (first(handles), last(handles));
    assert!(one.add_user(&user("ada", Role::Admin)).await.expect("add"));
    assert!(one.add_session(&session('a', "ada")).await.expect("add"));
    assert!(!one.add_session(&session('b', "eve")).await.expect("add"), "no such user");
    let (found, owner) = two.session(&hash('a')).await.expect("session").expect("there");
    assert_eq!(found, session('a', "ada"));
    assert_eq!((owner.name.as_str(), owner.last_login_at), ("ada", Some(at(1))));
    assert!(two.touch_session(&hash('a'), at(50), at(150)).await.expect("touch"));
    let (found, _) = one.session(&hash('a')).await.expect("session").expect("there");
    assert_eq!((found.last_seen_at, found.idle_until, found.expires_at), (at(50), at(150), at(1000)));
    assert!(two.end_session(&hash('a')).await.expect("end"));
    assert!(!one.end_session(&hash('a')).await.expect("end"));
    assert!(!one.touch_session(&hash('a'), at(51), at(151)).await.expect("touch"));
    assert_eq!(one.session(&hash('a')).await.expect("session"), None);
}

/// What changes a user ends their sessions in the same commit; one may stay.
pub async fn a_changed_user_loses_their_sessions(handles: &Handles) {
    let (one, two) = (first(handles), last(handles));
    for name in ["ada", "bob"] {
        assert!(one.add_user(&user(name, Role::Admin)).await.expect("add"));
    }
    for letter in ['a', 'b', 'c'] {
        assert!(one.add_session(&session(letter, "ada")).await.expect("add"));
    }
    assert!(one.add_session(&session('d', "bob")).await.expect("add"));
    let password = UserChange {
        password: Some(("$argon2id$x".to_owned(), false)),
        end_sessions: true,
        keep_session: Some(hash('b')),
        ..UserChange::default()
    };
    assert_eq!(one.change_user("ada", &password).await.expect("change"), Changed::Done);
    for (letter, stays) in [('a', false), ('b', true), ('c', false), ('d', true)] {
        assert_eq!(two.session(&hash(letter)).await.expect("session").is_some(), stays, "{letter}");
    }
    let disable = UserChange { disabled: Some(true), end_sessions: true, ..UserChange::default() };
    assert_eq!(one.change_user("ada", &disable).await.expect("change"), Changed::Done);
    assert_eq!(two.session(&hash('b')).await.expect("session"), None);
    assert!(!two.add_session(&session('e', "ada")).await.expect("add"), "disabled");
    assert_eq!(two.end_sessions("bob", None).await.expect("end"), 1);
}

/// A token is found by its hash with its owner as they are now, and goes with them.
pub async fn tokens_are_found_by_hash_and_go_with_their_owner(handles: &Handles) {
    let (one, two) = (first(handles), last(handles));
    for name in ["ada", "bob"] {
        assert!(one.add_user(&user(name, Role::Admin)).await.expect("add"));
    }
    assert!(one.add_token(&token("t1", 'a', Some("ada"))).await.expect("add"));
    assert!(one.add_token(&token("t2", 'b', None)).await.expect("add"));
    assert!(one.add_token(&token("t3", 'c', Some("bob"))).await.expect("add"));
    assert!(!one.add_token(&token("t4", 'd', Some("eve"))).await.expect("add"), "no such owner");
    let (found, owner) = two.token(&hash('a')).await.expect("token").expect("there");
    assert_eq!(found, token("t1", 'a', Some("ada")));
    assert_eq!(owner.map(|user| user.name).as_deref(), Some("ada"));
    let (_, owner) = two.token(&hash('b')).await.expect("token").expect("there");
    assert_eq!(owner, None);
    two.touch_token("t1", at(7)).await.expect("touch");
    let (found, _) = one.token(&hash('a')).await.expect("token").expect("there");
    assert_eq!(found.last_used_at, Some(at(7)));
    let ids = |tokens: Vec<Token>| tokens.into_iter().map(|token| token.id).collect::<Vec<_>>();
    assert_eq!(ids(one.tokens(None, None, 2).await.expect("tokens")), ["t1", "t2"]);
    assert_eq!(ids(one.tokens(None, Some("t2"), 2).await.expect("tokens")), ["t3"]);
    assert_eq!(ids(one.tokens(Some("bob"), None, 2).await.expect("tokens")), ["t3"]);
    assert!(!one.revoke_token("t1", Some("bob")).await.expect("revoke"), "not bob's");
    assert!(one.revoke_token("t1", Some("ada")).await.expect("revoke"));
    assert_eq!(two.token(&hash('a')).await.expect("token"), None);
    assert_eq!(one.remove_user("bob").await.expect("remove"), Changed::Done);
    assert_eq!(two.token(&hash('c')).await.expect("token"), None);
    assert!(two.revoke_token("t2", None).await.expect("revoke"));
    assert!(!two.revoke_token("t2", None).await.expect("revoke"));
}

/// Of many uses at once one succeeds; an expired or replaced link works for nobody.
pub async fn a_link_works_once(handles: &Handles) {
    let (one, two) = (first(handles), last(handles));
    one.add_link(&link('a', LinkPurpose::FirstAdmin, None)).await.expect("add");
    assert_eq!(two.use_link(&hash('z'), at(1)).await.expect("use"), None);
    assert_eq!(two.use_link(&hash('a'), at(3600)).await.expect("use"), None, "expired");
    let uses = (0..8).map(|n| {
        let handle = if n % 2 == 0 { one } else { two };
        async move { handle.use_link(&hash('a'), at(1)).await.expect("use") }
    });
    let used: Vec<Link> = futures::future::join_all(uses).await.into_iter().flatten().collect();
    assert_eq!(used, [Link { used_at: Some(at(1)), ..link('a', LinkPurpose::FirstAdmin, None) }]);
    assert_eq!(one.link(&hash('a')).await.expect("link"), Some(used[0].clone()));
    one.add_link(&link('b', LinkPurpose::SetPassword, Some("ada"))).await.expect("add");
    one.add_link(&link('c', LinkPurpose::SetPassword, Some("bob"))).await.expect("add");
    two.add_link(&link('d', LinkPurpose::SetPassword, Some("ada"))).await.expect("add");
    assert_eq!(one.use_link(&hash('b'), at(1)).await.expect("use"), None, "the newer one replaced it");
    for letter in ['c', 'd'] {
        assert!(one.use_link(&hash(letter), at(1)).await.expect("use").is_some(), "{letter}");
    }
}

/// What has ended is removed, and nothing else.
pub async fn sweeping_removes_what_has_ended(handles: &Handles) {
    let one = first(handles);
    assert!(one.add_user(&user("ada", Role::Admin)).await.expect("add"));
    assert!(one.add_session(&session('a', "ada")).await.expect("add"));
    assert!(one.add_session(&Session { idle_until: at(900), ..session('b', "ada") }).await.expect("add"));
    assert!(one.add_token(&token("t1", 'a', Some("ada"))).await.expect("add"));
    assert!(one.add_token(&Token { expires_at: None, ..token("t2", 'b', None) }).await.expect("add"));
    one.add_link(&link('a', LinkPurpose::FirstAdmin, None)).await.expect("add");
    assert_eq!(one.sweep_accounts(at(99)).await.expect("sweep"), 0);
    assert_eq!(one.sweep_accounts(at(100)).await.expect("sweep"), 1);
    assert!(one.session(&hash('b')).await.expect("session").is_some());
    assert_eq!(one.sweep_accounts(at(4000)).await.expect("sweep"), 3);
    assert!(one.token(&hash('b')).await.expect("token").is_some());
}

/// Each entry follows the one before it, and the whole is as it was written.
pub async fn the_audit_log_is_a_chain(handles: &Handles) {
    let one = first(handles);
    assert_eq!(verify(one).await.expect("verify").entries, 0);
    let a = one.append_audit(&audit("ada", "run.cancel", "run 1", 1)).await.expect("append");
    let b = one.append_audit(&audit("bob", "run.retry", "run 1", 2)).await.expect("append");
    assert_eq!((a.seq, a.prev_hash.as_str()), (1, FIRST_PREV));
    assert_eq!((b.seq, &b.prev_hash), (2, &a.hash));
    assert_eq!(one.audit_after(0, 10).await.expect("read"), [a, b.clone()]);
    let verified = verify(one).await.expect("verify");
    assert_eq!((verified.entries, verified.first_bad, verified.last), (2, None, Some((2, b.hash))));
    let nul = NewAudit { subject: "a\0b".to_owned(), ..audit("ada", "x", "y", 3) };
    assert!(matches!(one.append_audit(&nul).await, Err(StoreError::Rejected(_))));
}

/// Many writers at once, through every handle: one chain, every entry in it.
pub async fn the_chain_never_forks(handles: &Handles) {
    let appends = (0..40).map(|n| {
        let handle = &handles[n % handles.len()];
        async move { handle.append_audit(&audit(&format!("user {n}"), "run.start", "etl", 1)).await.expect("append") }
    });
    let appended = futures::future::join_all(appends).await;
    let numbers: std::collections::BTreeSet<u64> = appended.iter().map(|entry| entry.seq).collect();
    assert_eq!(numbers, (1..=40).collect());
    let verified = verify(last(handles)).await.expect("verify");
    assert_eq!((verified.entries, verified.first_bad), (40, None));
}

/// Newest first, page by page, with each filter.
pub async fn the_audit_log_is_read_newest_first(handles: &Handles) {
    let one = first(handles);
    for (actor, action, subject, second) in [
        ("ada", "run.cancel", "run 1", 1),
        ("bob", "run.cancel", "run 2", 2),
        ("ada", "user.add", "bob", 3),
        ("ada", "run.cancel", "run 1", 4),
    ] {
        one.append_audit(&audit(actor, action, subject, second)).await.expect("append");
    }
    let numbers = async |filter: AuditFilter| {
        one.audit(&filter).await.expect("read").into_iter().map(|entry| entry.seq).collect::<Vec<_>>()
    };
    let all = AuditFilter { limit: 10, ..AuditFilter::default() };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(numbers(all.clone()).await, [4, 3, 2, 1]);
    assert_eq!(numbers(AuditFilter { limit: 2, ..all.clone() }).await, [4, 3]);
    assert_eq!(numbers(AuditFilter { before: Some(3), ..all.clone() }).await, [2, 1]);
    assert_eq!(numbers(AuditFilter { actor: text("bob"), ..all.clone() }).await, [2]);
    assert_eq!(numbers(AuditFilter { action: text("run.cancel"), ..all.clone() }).await, [4, 2, 1]);
    assert_eq!(numbers(AuditFilter { subject: text("run 1"), ..all.clone() }).await, [4, 1]);
    assert_eq!(numbers(AuditFilter { since: Some(at(2)), until: Some(at(4)), ..all.clone() }).await, [3, 2]);
    let both = AuditFilter { actor: text("ada"), action: text("run.cancel"), before: Some(4), ..all };
    assert_eq!(numbers(both).await, [1]);
}

/// A connection is written if it still is as it was seen.
pub async fn connections_are_compared_and_set(handles: &Handles) {
    let (one, two) = (first(handles), last(handles));
    let connection = StoredConnection {
        name: "warehouse".to_owned(),
        kind: "postgres".to_owned(),
        fields: Map::from_iter([("host".to_owned(), json!("db")), ("port".to_owned(), json!(5432))]),
        sealed: BTreeMap::from([("password".to_owned(), "c2VhbGVk".to_owned())]),
        key_id: Some("k1".to_owned()),
        version: 1,
        updated_at: at(1),
        updated_by: "ada".to_owned(),
    };
    assert!(one.put_connection(&connection, 0).await.expect("put"));
    assert!(!two.put_connection(&connection, 0).await.expect("put"), "it exists");
    assert_eq!(two.stored_connection("warehouse").await.expect("get"), Some(connection.clone()));
    let changed = StoredConnection { key_id: None, sealed: BTreeMap::new(), version: 2, ..connection };
    assert!(two.put_connection(&changed, 1).await.expect("put"));
    assert!(!one.put_connection(&changed, 1).await.expect("put"), "somebody was faster");
    assert_eq!(one.connections().await.expect("list"), [changed]);
    assert!(one.remove_connection("warehouse").await.expect("remove"));
    assert!(!two.remove_connection("warehouse").await.expect("remove"));
    assert_eq!(two.stored_connection("warehouse").await.expect("get"), None);
}

/// Makes one test of each case of accounts, for a factory of `Option<(Vec<Arc<dyn Accounts>>, kept)>`: one or more handles
/// on one empty store.
#[macro_export]
macro_rules! accounts_conformance {
    ($open:path) => {
        $crate::accounts_conformance! { $open,
            users_are_added_changed_and_listed,
            the_last_admin_stays,
            sessions_begin_are_touched_and_end,
            a_changed_user_loses_their_sessions,
            tokens_are_found_by_hash_and_go_with_their_owner,
            a_link_works_once,
            sweeping_removes_what_has_ended,
            the_audit_log_is_a_chain,
            the_chain_never_forks,
            the_audit_log_is_read_newest_first,
            connections_are_compared_and_set,
        }
    };
    ($open:path, $($case:ident),+ $(,)?) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let Some((handles, kept_alive)) = $open().await else { return };
            $crate::conformance::accounts::$case(&handles).await;
            drop(handles);
            drop(kept_alive);
        }
    )+ };
}
