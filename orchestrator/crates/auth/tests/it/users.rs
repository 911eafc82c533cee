use std::time::Duration;

use secrecy::ExposeSecret as _;
use updraft_auth::{AuthError, NewUser, Permission, Role, SetupLink, UserPatch};

use crate::world::{GOOD, HERE, OTHER, World, secret};

#[tokio::test]
async fn what_happens_to_a_user_counts_at_once() {
    let world = World::new().await;
    world.user("ada", Role::Admin).await;
    world.user("bob", Role::Editor).await;
    let admin = world.login("ada").await.principal;
    let bob = world.login("bob").await;
    let demote = UserPatch { role: Some(Role::Viewer), ..UserPatch::default() };
    world.auth.change_user(&admin, "bob", &demote, Some("left the team")).await.unwrap();
    assert!(world.who(&bob).await.is_none(), "a session does not outlive its role");
    let bob = world.login("bob").await;
    assert_eq!(world.who(&bob).await.unwrap().role, Role::Viewer);
    let disable = UserPatch { disabled: Some(true), ..UserPatch::default() };
    world.auth.change_user(&admin, "bob", &disable, None).await.unwrap();
    assert!(world.who(&bob).await.is_none());
    assert!(matches!(world.auth.login("bob", secret(GOOD), HERE, "t").await, Err(AuthError::BadCredentials)));
    let enable = UserPatch { disabled: Some(false), ..UserPatch::default() };
    world.auth.change_user(&admin, "bob", &enable, None).await.unwrap();
    let bob = world.login("bob").await;
    world.auth.remove_user(&admin, "bob", None).await.unwrap();
    assert!(world.who(&bob).await.is_none());
    assert!(matches!(world.auth.remove_user(&admin, "bob", None).await, Err(AuthError::NoUser(_))));
    let actions: Vec<_> =
        world.audited().await.into_iter().filter(|(actor, ..)| actor == "ada").map(|entry| entry.1).collect();
    assert_eq!(actions, ["password.set_by_link", "login", "user.change", "user.change", "user.change", "user.remove"]);
}

#[tokio::test]
async fn the_last_admin_cannot_be_taken_away() {
    let world = World::new().await;
    world.user("ada", Role::Admin).await;
    let admin = world.login("ada").await.principal;
    let demote = UserPatch { role: Some(Role::Viewer), ..UserPatch::default() };
    assert!(matches!(world.auth.change_user(&admin, "ada", &demote, None).await, Err(AuthError::LastAdmin(_))));
    assert!(matches!(world.auth.remove_user(&admin, "ada", None).await, Err(AuthError::LastAdmin(_))));
}

#[tokio::test]
async fn only_admins_touch_users() {
    let world = World::new().await;
    world.user("ada", Role::Editor).await;
    let editor = world.login("ada").await.principal;
    let new = NewUser { name: "eve".to_owned(), role: Role::Admin, password: None };
    let refused = world.auth.add_user(&editor, &new, None).await.unwrap_err();
    assert!(matches!(refused, AuthError::Forbidden { permission: Permission::Users, .. }), "{refused}");
    assert_eq!(refused.status(), 403);
    assert!(world.auth.users(&editor, None, 10).await.is_err());
    assert!(world.auth.remove_user(&editor, "ada", None).await.is_err());
    assert!(world.auth.change_user(&editor, "ada", &UserPatch::default(), None).await.is_err());
    assert!(world.auth.set_password_link(&editor, "ada", None).await.is_err());
}

#[tokio::test]
async fn a_first_password_must_be_changed_and_a_link_lets_choose_one() {
    let world = World::new().await;
    let local = World::local();
    let new = NewUser { name: "ada".to_owned(), role: Role::Viewer, password: Some(secret(GOOD)) };
    let (user, link) = world.auth.add_user(&local, &new, None).await.unwrap();
    assert!(link.is_none() && user.has_password);
    assert!(matches!(world.auth.add_user(&local, &new, None).await, Err(AuthError::Taken(_))));
    let session = world.login("ada").await;
    assert!(world.who(&session).await.unwrap().must_change_password);
    let who = world.who(&session).await.unwrap();
    world.auth.change_password(&who, secret(GOOD), secret(OTHER)).await.unwrap();
    assert!(!world.who(&session).await.unwrap().must_change_password);
    let link = world.auth.set_password_link(&local, "ada", None).await.unwrap();
    let token = link.token.expose_secret();
    assert_eq!(world.auth.look_at_link(token).await.unwrap(), SetupLink::SetPassword { user: "ada".to_owned() });
    world.pass(Duration::from_mins(1));
    let setup = async |name: &str| world.auth.setup(token, name, secret(GOOD), HERE, "t").await;
    assert!(matches!(setup("bob").await, Err(AuthError::BadLink)), "another's link");
    let fresh = setup("ada").await.unwrap();
    assert!(!fresh.principal.must_change_password);
    assert!(world.who(&session).await.is_none(), "the older session ended");
    assert!(matches!(setup("ada").await, Err(AuthError::BadLink)));
}

#[tokio::test]
async fn users_are_listed_without_their_hashes() {
    let world = World::new().await;
    world.user("ada", Role::Admin).await;
    let found = world.auth.users(&World::local(), None, 10).await.unwrap();
    let text = format!("{found:?} {:?}", world.accounts.users(None, 10).await.unwrap());
    assert!(text.contains("ada") && !text.contains("argon2"), "{text}");
}
