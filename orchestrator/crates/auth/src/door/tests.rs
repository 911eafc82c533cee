use super::*;

fn key_file() -> KeyOrigin {
    KeyOrigin::File("/etc/updraft/master.key".into())
}

fn own_key() -> KeyOrigin {
    KeyOrigin::Generated("/srv/.updraft/master.key".into())
}

fn listen(address: &str) -> Vec<SocketAddr> {
    vec![address.parse().expect("an address")]
}

fn dev() -> DoorConfig {
    DoorConfig::local(listen("127.0.0.1:8080"), LogIn::DevLink, own_key(), StoreFacts::Sqlite)
}

/// Everything in order for the world.
fn serve() -> DoorConfig {
    DoorConfig {
        reason: Some("the team's orchestrator".to_owned()),
        public_url: Some("https://updraft.example.org".to_owned()),
        tls: Some(TlsFiles { certificate: "/etc/c.pem".into(), key: "/etc/k.pem".into(), key_mode: Some(0o100_600) }),
        log_in: LogIn::Admin,
        master_key: key_file(),
        store: StoreFacts::Postgres { here: false, ssl_mode: "verify-full".to_owned(), superuser: false },
        ..DoorConfig::local(listen("0.0.0.0:8443"), LogIn::Admin, key_file(), StoreFacts::Sqlite)
    }
}

fn codes(config: &DoorConfig) -> Vec<&'static str> {
    match judge(config) {
        Ok(door) => {
            assert!(door.exposed || config.listen[0].ip().is_loopback());
            Vec::new()
        }
        Err(refusals) => {
            for refused in &refusals {
                assert!(refused.reason.len() > 20 && refused.remedy.len() > 8, "{refused}");
            }
            refusals.iter().map(|refused| refused.code).collect()
        }
    }
}

fn proxied() -> DoorConfig {
    let trusted = vec!["10.0.0.0/8".parse().expect("a network")];
    DoorConfig { tls: None, behind_proxy: Some(BehindProxy { trusted }), ..serve() }
}

// ---- defaults

#[test]
fn bind_is_loopback_without_further_ado() {
    for address in ["127.0.0.1:8080", "127.8.8.8:1", "[::1]:8080", "[::ffff:127.0.0.1]:80"] {
        let door = judge(&DoorConfig { listen: listen(address), ..dev() }).expect("loopback");
        assert!(!door.exposed && !door.secure && door.trusted.is_empty(), "{address}");
    }
}

#[test]
fn a_door_in_order_opens_to_the_world() {
    for config in [serve(), proxied(), DoorConfig { log_in: LogIn::FirstAdminLink, ..serve() }] {
        let door = judge(&config).expect("in order");
        assert!(door.exposed && door.secure);
        assert_eq!(door.public_url.as_deref(), Some("https://updraft.example.org"));
    }
}

#[test]
fn sessions_are_short_when_others_can_reach_the_server() {
    let hours = |n: u64| Duration::from_hours(n);
    let local = judge(&dev()).expect("local").auth;
    assert_eq!((local.idle, local.absolute, local.local_sessions), (hours(12), hours(7 * 24), true));
    let exposed = judge(&serve()).expect("exposed").auth;
    assert_eq!((exposed.idle, exposed.absolute, exposed.local_sessions), (hours(1) / 2, hours(12), false));
    let own = judge(&DoorConfig { session: Some((hours(1), hours(2))), ..serve() }).expect("exposed").auth;
    assert_eq!((own.idle, own.absolute), (hours(1), hours(2)));
    let wrong = DoorConfig { session: Some((hours(3), hours(2))), ..serve() };
    assert_eq!(codes(&wrong), ["session_life"]);
}

#[test]
fn connections_are_tested_from_here_only_if_said_when_others_can_reach_the_server() {
    assert!(judge(&dev()).expect("local").connection_test);
    assert!(!judge(&serve()).expect("exposed").connection_test);
    let door = judge(&DoorConfig { connection_test: Some(true), ..serve() }).expect("exposed");
    let mut who = Principal::of_socket(1, 1, None).expect("local");
    assert!(door.may_test_connections(&who));
    who.role = crate::Role::Operator;
    assert!(!door.may_test_connections(&who), "needs the permission too");
}

#[test]
fn shell_commands_run_only_on_listed_queues_when_others_can_reach_the_server() {
    assert!(judge(&dev()).expect("local").shell.allows("default"));
    assert!(!judge(&serve()).expect("exposed").shell.allows("default"));
    let listed = DoorConfig { shell_queues: Some(vec!["shell".to_owned()]), ..serve() };
    let shell = judge(&listed).expect("exposed").shell;
    assert!(shell.allows("shell") && !shell.allows("default"));
}

#[test]
fn the_page_of_the_api_is_for_this_machine() {
    assert!(judge(&dev()).expect("local").api_docs);
    assert!(!judge(&serve()).expect("exposed").api_docs);
    assert!(judge(&DoorConfig { api_docs: Some(true), ..serve() }).expect("exposed").api_docs);
}

#[test]
fn metrics_are_for_this_machine_alone_and_not_through_a_proxy() {
    let peer = |text: &str| text.parse::<IpAddr>().expect("an address");
    assert!(metrics_open_to(peer("127.0.0.1"), false));
    assert!(metrics_open_to(peer("::ffff:127.0.0.1"), false));
    assert!(metrics_open_to(peer("::1"), false));
    assert!(!metrics_open_to(peer("10.0.0.1"), false));
    assert!(!metrics_open_to(peer("127.0.0.1"), true), "a proxy on this machine");
}

#[test]
fn there_is_no_telemetry() {
    assert!(!judge(&dev()).expect("local").telemetry && !judge(&serve()).expect("exposed").telemetry);
}

// ---- refusals

#[test]
fn a_tls_key_that_others_can_read_is_refused() {
    let with = |key_mode| {
        let tls = TlsFiles { certificate: "/etc/c.pem".into(), key: "/etc/k.pem".into(), key_mode };
        DoorConfig { tls: Some(tls), ..serve() }
    };
    for mode in [0o640, 0o604, 0o620, 0o610, 0o601, 0o100_644] {
        assert_eq!(codes(&with(Some(mode))), ["tls_key_readable_by_others"], "{mode:o}");
    }
    assert_eq!(codes(&with(None)), ["tls_key_unreadable"]);
    assert!(codes(&with(Some(0o100_400))).is_empty());
    // It is as readable where nobody else can reach the server.
    assert_eq!(codes(&DoorConfig { tls: with(Some(0o644)).tls, ..dev() }), ["tls_key_readable_by_others"]);
}

#[test]
fn bind_elsewhere_without_a_reason_is_refused() {
    for address in ["0.0.0.0:80", "[::]:80", "192.168.1.5:80", "[2001:db8::1]:80"] {
        assert_eq!(codes(&DoorConfig { listen: listen(address), reason: None, ..serve() }), ["bind_without_reason"]);
    }
    assert_eq!(codes(&DoorConfig { reason: Some(" ".to_owned()), ..serve() }), ["bind_without_reason"]);
    assert_eq!(codes(&DoorConfig { listen: Vec::new(), ..dev() }), ["no_listen_address"]);
}

#[test]
fn bind_elsewhere_without_authentication_is_refused() {
    assert_eq!(codes(&DoorConfig { log_in: LogIn::Nobody, ..serve() }), ["no_admin"]);
    assert_eq!(codes(&DoorConfig { log_in: LogIn::DevLink, ..serve() }), ["dev_is_local"]);
}

#[test]
fn plain_http_to_others_is_refused() {
    assert_eq!(codes(&DoorConfig { tls: None, ..serve() }), ["plain_http"]);
    let plain = DoorConfig { public_url: Some("http://updraft.example.org".to_owned()), ..serve() };
    assert_eq!(codes(&plain), ["public_url_is_plain"]);
}

#[test]
fn a_proxy_without_its_network_or_with_everybodys_is_refused() {
    let of = |trusted: &[&str]| {
        let trusted = trusted.iter().map(|network| network.parse().expect("a network")).collect();
        DoorConfig { behind_proxy: Some(BehindProxy { trusted }), ..proxied() }
    };
    assert_eq!(codes(&of(&[])), ["proxy_without_networks"]);
    assert_eq!(codes(&of(&["0.0.0.0/0"])), ["proxy_trusts_everybody"]);
    assert_eq!(codes(&of(&["10.0.0.0/8", "::/0"])), ["proxy_trusts_everybody"]);
}

#[test]
fn a_proxy_on_this_machine_exposes_it_all_the_same() {
    let trusted = vec!["127.0.0.1/32".parse().expect("a network")];
    let config = DoorConfig { behind_proxy: Some(BehindProxy { trusted }), ..dev() };
    assert_eq!(codes(&config), ["public_url_missing", "bind_without_reason", "dev_is_local", "master_key_not_given"]);
}

#[test]
fn public_url_is_required_and_read_strictly() {
    assert_eq!(codes(&DoorConfig { public_url: None, ..serve() }), ["public_url_missing"]);
    for bad in ["updraft.example.org", "ftp://a", "https://", "https://a/b", "https://u@a", "https://a:x", "https://*"]
    {
        let config = DoorConfig { public_url: Some(bad.to_owned()), ..serve() };
        assert_eq!(codes(&config), ["public_url_malformed"], "{bad}");
    }
}

#[test]
fn a_generated_master_key_is_for_this_machine() {
    assert_eq!(codes(&dev()), [""; 0]);
    assert_eq!(codes(&DoorConfig { master_key: own_key(), ..serve() }), ["master_key_not_given"]);
}

#[test]
fn a_database_elsewhere_needs_verified_tls_and_no_superuser() {
    let of = |here, ssl_mode: &str, superuser| DoorConfig {
        store: StoreFacts::Postgres { here, ssl_mode: ssl_mode.to_owned(), superuser },
        ..serve()
    };
    for weak in ["disable", "allow", "prefer", "require", "verify-ca"] {
        assert_eq!(codes(&of(false, weak, false)), ["database_without_tls"], "{weak}");
        assert_eq!(codes(&of(true, weak, false)), [""; 0], "{weak} on this machine");
    }
    assert_eq!(codes(&of(true, "prefer", true)), ["database_superuser"]);
    let local = DoorConfig { store: of(false, "prefer", true).store, ..dev() };
    assert_eq!(codes(&local), [""; 0], "what only this machine reaches is forced to nothing");
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let open = DoorConfig { listen: listen("0.0.0.0:80"), log_in: LogIn::Nobody, ..dev() };
    assert_eq!(
        codes(&open),
        ["public_url_missing", "bind_without_reason", "no_admin", "plain_http", "master_key_not_given"]
    );
}

// ---- requests

#[test]
fn host_is_this_servers_own() {
    let local = judge(&dev()).expect("local");
    let public = judge(&serve()).expect("exposed");
    let odd = DoorConfig { public_url: Some("https://Updraft.Example.org:8443/".to_owned()), ..serve() };
    let odd = judge(&odd).expect("exposed");
    for (host, here, there, with_port) in [
        (Some("localhost"), true, false, false),
        (Some("localhost:8080"), true, false, false),
        (Some("LOCALHOST:8080"), true, false, false),
        (Some("127.0.0.1:8080"), true, false, false),
        (Some("[::1]:8080"), true, false, false),
        (Some("updraft.example.org"), false, true, false),
        (Some("updraft.example.org:443"), false, true, false),
        (Some("Updraft.Example.Org"), false, true, false),
        (Some("updraft.example.org:8443"), false, false, true),
        (Some("updraft.example.org."), false, false, false),
        (Some("evil.example.org"), false, false, false),
        (Some("localhost.evil.example"), false, false, false),
        (Some("127.0.0.1.nip.io"), false, false, false),
        (Some("2130706433"), false, false, false),
        (Some("updraft.example.org@evil"), false, false, false),
        (Some("updraft.example.org, evil"), false, false, false),
        (Some("::1"), false, false, false),
        (Some("[::1"), false, false, false),
        (Some("localhost:"), false, false, false),
        (Some("localhost:99999"), false, false, false),
        (Some(""), false, false, false),
        (None, false, false, false),
    ] {
        assert_eq!(check_host(host, &local).is_ok(), here, "{host:?} on loopback");
        assert_eq!(check_host(host, &public).is_ok(), there, "{host:?} in public");
        assert_eq!(check_host(host, &odd).is_ok(), with_port, "{host:?} with a port");
    }
}

#[test]
fn only_this_servers_own_pages_change_anything_with_a_cookie() {
    let local = judge(&dev()).expect("local");
    let public = judge(&serve()).expect("exposed");
    let (host, own) = ("localhost:8080", "updraft.example.org");
    for (site, origin, here, there) in [
        (Some("same-origin"), None, true, true),
        (Some("none"), None, true, true),
        (Some("same-site"), Some("https://updraft.example.org"), false, false),
        (Some("cross-site"), Some("https://updraft.example.org"), false, false),
        (Some("surprise"), None, false, false),
        (None, None, false, false),
        (None, Some("null"), false, false),
        (None, Some("http://localhost:8080"), true, false),
        (None, Some("http://localhost:3000"), false, false),
        (None, Some("https://localhost:8080"), false, false),
        (None, Some("http://127.0.0.1:8080"), false, false),
        (None, Some("https://updraft.example.org"), false, true),
        (None, Some("https://updraft.example.org:443"), false, true),
        (None, Some("http://updraft.example.org"), false, false),
        (None, Some("https://updraft.example.org.evil"), false, false),
        (None, Some("https://evil.example"), false, false),
        (None, Some(""), false, false),
    ] {
        for method in ["POST", "PUT", "PATCH", "DELETE", "post", "WEIRD"] {
            let answer = check_origin(method, site, origin, Some(host), &local);
            assert_eq!(answer.is_ok(), here, "{method} {site:?} {origin:?} on loopback");
            let answer = check_origin(method, site, origin, Some(own), &public);
            assert_eq!(answer.is_ok(), there, "{method} {site:?} {origin:?} in public");
        }
        for method in ["GET", "HEAD", "OPTIONS"] {
            assert!(check_origin(method, site, origin, Some(host), &local).is_ok());
        }
    }
}

#[test]
fn the_clients_address_is_believed_of_trusted_proxies_alone() {
    let trusted = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().expect("a network")).to_vec();
    let door = judge(&DoorConfig { behind_proxy: Some(BehindProxy { trusted }), ..proxied() }).expect("in order");
    let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
    for (peer, headers, client) in [
        ("203.0.113.9", vec!["1.2.3.4"], "203.0.113.9"),
        ("10.0.0.1", vec![], "10.0.0.1"),
        ("10.0.0.1", vec!["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", vec!["1.2.3.4, 203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", vec!["1.2.3.4, 203.0.113.9, 10.0.0.7"], "203.0.113.9"),
        ("10.0.0.1", vec!["1.2.3.4", "203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", vec!["203.0.113.9:4711"], "203.0.113.9"),
        ("10.0.0.1", vec!["[2001:db8::9]:4711"], "2001:db8::9"),
        ("10.0.0.1", vec!["203.0.113.9, unknown"], "10.0.0.1"),
        ("10.0.0.1", vec!["unknown, 10.0.0.7"], "10.0.0.7"),
        ("10.0.0.1", vec![""], "10.0.0.1"),
        ("::ffff:10.0.0.1", vec!["::ffff:203.0.113.9"], "203.0.113.9"),
        ("fd00::1", vec!["2001:db8::9"], "2001:db8::9"),
    ] {
        assert_eq!(door.client(ip(peer), &headers), ip(client), "{peer} {headers:?}");
    }
    let alone = judge(&serve()).expect("in order");
    assert_eq!(alone.client(ip("127.0.0.1"), &["203.0.113.9"]), ip("127.0.0.1"), "no proxy declared");
}
