use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use updraft_auth::{AuthError, NewToken, Permission, Principal, PrincipalKind, Role, UserPatch};

use crate::world::{HERE, World};

fn new(role: Role, scopes: &[Permission]) -> NewToken {
    NewToken { name: "ci".to_owned(), role, scopes: scopes.to_vec(), expires_in: None }
}

async fn made(world: &World, who: &Principal, new: &NewToken) -> (String, SecretString) {
    let (view, text) = world.auth.create_token(who, new, None).await.unwrap();
    (view.id, text)
}

async fn comes_in(world: &World, token: &SecretString) -> Option<Principal> {
    world.auth.bearer(token.expose_secret(), HERE).await.ok()
}

#[tokio::test]
async fn a_token_is_its_owner_within_its_role_and_scopes() {
    let world = World::new().await;
    world.user("ada", Role::Editor).await;
    let ada = world.login("ada").await.principal;
    let (_, token) = made(&world, &ada, &new(Role::Operator, &[Permission::Read, Permission::Run])).await;
    let who = comes_in(&world, &token).await.unwrap();
    assert_eq!((who.kind, who.name.as_str(), who.role), (PrincipalKind::Token, "ci (ada)", Role::Operator));
    assert!(who.allows(Permission::Run) && !who.allows(Permission::Control) && !who.allows(Permission::Connections));
    for bad in ["", "upd_", "Bearer x", &token.expose_secret()[..61], &format!("{}x", token.expose_secret())] {
        assert!(matches!(world.auth.bearer(bad, HERE).await, Err(AuthError::NotAuthenticated)), "{bad}");
    }
}

#[tokio::test]
async fn nobody_gives_more_than_they_have() {
    let world = World::new().await;
    world.user("ada", Role::Operator).await;
    let ada = world.login("ada").await.principal;
    let refused =
        async |who: &Principal, new: NewToken| world.auth.create_token(who, &new, None).await.unwrap_err().code();
    assert_eq!(refused(&ada, new(Role::Admin, &[])).await, "above_own_role");
    assert_eq!(refused(&ada, new(Role::Viewer, &[Permission::Run])).await, "bad_scope");
    let too_long = NewToken { expires_in: Some(Duration::from_hours(400 * 24)), ..new(Role::Viewer, &[]) };
    assert_eq!(refused(&ada, too_long).await, "bad_token_expiry");
    // A limited token can make no token, or, if it may, none with more than itself.
    let (_, narrow) = made(&world, &ada, &new(Role::Operator, &[Permission::Read])).await;
    let narrow = comes_in(&world, &narrow).await.unwrap();
    assert_eq!(refused(&narrow, new(Role::Viewer, &[])).await, "out_of_scope");
    let scopes = [Permission::Read, Permission::OwnTokens];
    let (_, maker) = made(&world, &ada, &new(Role::Operator, &scopes)).await;
    let maker = comes_in(&world, &maker).await.unwrap();
    assert_eq!(refused(&maker, new(Role::Operator, &[Permission::Run])).await, "bad_scope");
    let (_, made_by_token) = made(&world, &maker, &new(Role::Operator, &[])).await;
    assert!(!comes_in(&world, &made_by_token).await.unwrap().allows(Permission::Run), "its limits are handed on");
}

#[tokio::test]
async fn a_token_ends_by_itself_by_being_revoked_and_with_its_owner() {
    let world = World::new().await;
    world.user("ada", Role::Admin).await;
    world.user("bob", Role::Editor).await;
    let (ada, bob) = (world.login("ada").await.principal, world.login("bob").await.principal);
    let (_, short) =
        made(&world, &bob, &NewToken { expires_in: Some(Duration::from_mins(1)), ..new(Role::Viewer, &[]) }).await;
    let (id, usual) = made(&world, &bob, &new(Role::Editor, &[])).await;
    let (of_ada, adas) = made(&world, &ada, &new(Role::Admin, &[])).await;
    assert!(comes_in(&world, &short).await.is_some());
    world.pass(Duration::from_mins(1));
    assert!(comes_in(&world, &short).await.is_none(), "expired");
    // Whose owner is demoted is demoted.
    let demote = UserPatch { role: Some(Role::Viewer), ..UserPatch::default() };
    world.auth.change_user(&ada, "bob", &demote, None).await.unwrap();
    assert_eq!(comes_in(&world, &usual).await.unwrap().role, Role::Viewer);
    let disable = UserPatch { disabled: Some(true), ..UserPatch::default() };
    world.auth.change_user(&ada, "bob", &disable, None).await.unwrap();
    assert!(comes_in(&world, &usual).await.is_none(), "disabled");
    let enable = UserPatch { disabled: Some(false), ..UserPatch::default() };
    world.auth.change_user(&ada, "bob", &enable, None).await.unwrap();
    let bob = comes_in(&world, &usual).await.unwrap();
    assert!(matches!(world.auth.revoke_token(&bob, &of_ada, None).await, Err(AuthError::NoToken(_))), "not bob's");
    let own: Vec<_> =
        world.auth.tokens(&bob, None, 10).await.unwrap().into_iter().map(|token| token.created_by).collect();
    assert_eq!(own, ["bob", "bob"]);
    assert_eq!(world.auth.tokens(&ada, None, 10).await.unwrap().len(), 3);
    world.auth.revoke_token(&ada, &id, Some("leaked")).await.unwrap();
    assert!(comes_in(&world, &usual).await.is_none(), "revoked");
    world.pass(Duration::from_hours(91 * 24));
    assert!(comes_in(&world, &adas).await.is_none(), "ninety days");
}

#[tokio::test]
async fn the_local_admins_tokens_belong_to_no_user_and_no_token_is_kept() {
    let world = World::new().await;
    let (id, token) = made(&world, &World::local(), &new(Role::Admin, &[])).await;
    let who = comes_in(&world, &token).await.unwrap();
    assert_eq!((who.name.as_str(), who.user, who.role), ("ci (ops)", None, Role::Admin));
    let text = token.expose_secret();
    let list = world.auth.tokens(&World::local(), None, 10).await.unwrap();
    assert_eq!((list[0].id.as_str(), list[0].prefix.as_str()), (id.as_str(), &text[..12]));
    assert!(list[0].last_used_at.is_some());
    for file in std::fs::read_dir(world.folder.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(text.len()).any(|window| window == text.as_bytes()), "the token lies in the store");
    }
}
