//! Canonical JSON and keys.

use proptest::prelude::*;
use serde_json::{Value, json};
use updraft_model::canonical::{CanonicalError, DEEPEST, base32, canonical_json, idempotency_key, sha256_hex};
use updraft_model::id::{MapIndex, TaskKey};

use super::support::facts;

#[test]
fn equal_values_are_written_alike() {
    for (value, expected) in [
        (json!({"b": 1, "a": [true, null, "x"]}), r#"{"a":[true,null,"x"],"b":1}"#),
        (json!({"é": 1, "z": 2, "Z": 3}), r#"{"Z":3,"z":2,"é":1}"#),
        (
            json!([1.0, -0.0, 1e3, 1.5, 1e300, u64::MAX, i64::MIN]),
            "[1,0,1000,1.5,1e+300,18446744073709551615,-9223372036854775808]",
        ),
        (json!("\n\"\\\u{1}é"), "\"\\n\\\"\\\\\\u0001é\""),
        (json!({}), "{}"),
    ] {
        assert_eq!(canonical_json(&value).unwrap(), expected);
    }
    assert_eq!(canonical_json(&json!(9_007_199_254_740_993.0)), canonical_json(&json!(9_007_199_254_740_992_i64)));
}

#[test]
fn what_a_store_cannot_keep_is_refused_with_its_place() {
    let nul = canonical_json(&json!({"rows": [{"a/b": "x\0"}]})).unwrap_err();
    assert_eq!(nul, CanonicalError::Nul("/rows/0/a~1b".to_owned()));
    assert_eq!(canonical_json(&json!({"a\0": 1})).unwrap_err(), CanonicalError::Nul("/a\\u0000".to_owned()));
    assert_eq!(canonical_json(&json!("\0")).unwrap_err(), CanonicalError::Nul("/".to_owned()));
    let nested = |levels| (0..levels).fold(Value::Null, |inner, _| json!([inner]));
    assert!(canonical_json(&nested(DEEPEST)).is_ok());
    assert!(matches!(canonical_json(&nested(DEEPEST + 1)), Err(CanonicalError::TooDeep(_))));
}

#[test]
fn base32_is_rfc_4648_in_lower_case_without_padding() {
    for (bytes, text) in
        [("", ""), ("f", "my"), ("fo", "mzxq"), ("foo", "mzxw6"), ("foob", "mzxw6yq"), ("foobar", "mzxw6ytboi")]
    {
        assert_eq!(base32(bytes.as_bytes()), text);
    }
}

#[test]
fn sha256_is_the_known_one() {
    assert_eq!(sha256_hex(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

#[test]
fn an_idempotency_key_changes_with_everything_but_the_try() {
    let run = facts().run_id;
    let key = |task: &str, index| TaskKey { map_index: MapIndex(index), ..TaskKey::of(task) };
    let first = idempotency_key(run, &key("a", -1), 0);
    assert_eq!(first.len(), 52);
    assert_eq!(first, "3iezo7u2ghvixmiugckeosg7ohsyhvcer3ovnzdw5jazw4s4fgha", "frozen: sinks remember these keys");
    let others = [
        idempotency_key(run, &key("a", -1), 1),
        idempotency_key(run, &key("a", 0), 0),
        idempotency_key(run, &key("b", -1), 0),
        idempotency_key(updraft_model::id::RunId(uuid::Uuid::nil()), &key("a", -1), 0),
    ];
    let all: std::collections::BTreeSet<_> = others.iter().chain([&first]).collect();
    assert_eq!(all.len(), 5);
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        // serde_json reads decimals of up to 15 digits exactly; longer ones may be off by one bit when read back.
        (-999_999_999_999_999..999_999_999_999_999_i64, 0..16)
            .prop_map(|(digits, point)| Value::from(format!("{digits}e-{point}").parse::<f64>().unwrap())),
        "[^\0]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::vec(("[^\0]{0,4}", inner), 0..6)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_read_back_is_written_alike(value in values()) {
        let text = canonical_json(&value).unwrap();
        let read: Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(canonical_json(&read).unwrap(), text);
    }
}
