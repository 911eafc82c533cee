//! What templates mean, case by case.

use serde_json::{Map, Value, json};

use super::*;

fn context() -> Context {
    let Value::Object(names) = json!({
        "ds": "2026-01-31",
        "params": { "regions": ["europe", "asia"], "dry_run": false, "limit": 3, "nothing": null },
        "vars": { "topic": "states", "evil": "'; drop table x; --" },
        "tasks": { "collect": { "state": "succeeded", "output": { "rows": 7, "regions": { "europe": { "rows": 5 } } } } },
    }) else {
        unreachable!("an object")
    };
    Context::from_map(names)
}

fn rendered(source: &str) -> Result<Value, TemplateError> {
    Template::parse(source)?.render(&context())
}

#[test]
fn a_single_expression_keeps_its_type_and_anything_else_is_text() {
    for (source, expected) in [
        ("plain", json!("plain")),
        ("{{ params.regions }}", json!(["europe", "asia"])),
        ("{{ params.dry_run }}", json!(false)),
        ("{{ params.limit + 1 }}", json!(4)),
        ("{{ params.nothing }}", json!(null)),
        ("  {{- ds -}}\n", json!("2026-01-31")),
        ("{{ -1 }}", json!(-1)),
        ("{{ tasks.collect.output.regions['europe'].rows }}", json!(5)),
        ("{{ params.limit }} of {{ params.dry_run }} {{ params.nothing }}", json!("3 of false null")),
        ("{{ params.limit }}{{ params.limit }}", json!("33")),
        ("{% if params.dry_run %}a{% else %}b{% endif %}", json!("b")),
        ("{# note #}{{ params.limit }}", json!("3")),
        ("{{ params.none_such | default('x') }}", json!("x")),
        ("{% for r in params.regions %}{{ loop.index }}{{ r }} {% endfor %}", json!("1europe 2asia ")),
        ("{{ '}}' }}", json!("}}")),
    ] {
        assert_eq!(rendered(source), Ok(expected), "{source}");
    }
}

#[test]
fn filters_write_values_without_changing_their_meaning() {
    for (source, expected) in [
        ("{{ vars.evil | sql_literal }}", json!("'''; drop table x; --'")),
        ("{{ params.regions | sql_literal }}", json!("('europe', 'asia')")),
        ("{{ params.nothing | sql_literal }}", json!("NULL")),
        ("{{ params.dry_run | sql_literal }}", json!("FALSE")),
        ("{{ 'a\"b' | sql_ident }}", json!("\"a\"\"b\"")),
        ("{{ vars.evil | shell_quote }}", json!(r"''\''; drop table x; --'")),
        ("{{ 'a/b.c' | shell_quote }}", json!("a/b.c")),
        ("{{ params.regions | tojson }}", json!("[\"europe\",\"asia\"]")),
        ("{{ '<&>' | tojson }}", json!("\"<&>\"")),
    ] {
        assert_eq!(rendered(source), Ok(expected), "{source}");
    }
    for source in [
        "{{ [] | sql_literal }}",
        "{{ params | sql_literal }}",
        "{{ '' | sql_ident }}",
        "{{ 3 | sql_ident }}",
        "{{ params | shell_quote }}",
        "{{ params.none_such | tojson }}",
        "{{ params.none_such | sql_literal }}",
    ] {
        assert!(rendered(source).is_err(), "{source}");
    }
}

#[test]
fn what_cannot_be_rendered_says_why_and_where() {
    for (source, kind, place) in [
        ("{{ params.none_such }}", TemplateErrorKind::Undefined, "params.none_such"),
        ("rows: {{ tasks.collect.output.rowz }}", TemplateErrorKind::Undefined, "tasks.collect.output.rowz"),
        ("all {{ params.regions }}", TemplateErrorKind::Value, "params.regions"),
        ("{{ ds", TemplateErrorKind::Syntax, ""),
        ("{{ ds | upperr }}", TemplateErrorKind::Unknown, "upperr"),
        ("{{ ds is odrly }}", TemplateErrorKind::Unknown, "odrly"),
        ("{{ now() }}", TemplateErrorKind::Unknown, "now"),
        ("{{ debug() }}", TemplateErrorKind::Unknown, "debug"),
        ("{{ ds.upper() }}", TemplateErrorKind::Unknown, ".upper()"),
        ("{% include 'x' %}", TemplateErrorKind::Forbidden, "include 'x'"),
    ] {
        let error = rendered(source).expect_err(source);
        assert_eq!(error.kind, kind, "{source}: {error}");
        if !place.is_empty() {
            assert_eq!(error.range.clone().and_then(|range| source.get(range)), Some(place), "{source}: {error}");
        }
    }
}

#[test]
fn a_template_cannot_run_for_ever_or_fill_the_memory() {
    for source in [
        "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{{ range(1000000000) | list }}",
        "{{ 'x' * 1000000000 }}",
        "{% for a in range(60000) %}xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx{% endfor %}",
        "{{ '%1000000000d' | format(1) }}",
    ] {
        let error = rendered(source).expect_err(source);
        assert!(matches!(error.kind, TemplateErrorKind::Budget | TemplateErrorKind::Value), "{source}: {error:?}");
    }
}

#[test]
fn references_are_listed_with_their_steps_and_places() {
    let source =
        "{% for r in params.regions %}{{ r.x }}{{ tasks.a.output.list[0]['k'][i] }}{% endfor %}{{ b | default(1) }}";
    let template = Template::parse(source).expect("parses");
    let listed: Vec<(&str, String, bool)> = template
        .references()
        .iter()
        .map(|reference| {
            let steps: Vec<String> = reference.steps.iter().map(|step| source[step.range.clone()].to_owned()).collect();
            (&source[reference.range.clone()], steps.join("|"), reference.guarded)
        })
        .collect();
    assert_eq!(
        listed,
        [
            ("params.regions", ".regions".to_owned(), false),
            ("i", String::new(), false),
            ("tasks.a.output.list[0]['k'][i]", ".a|.output|.list|[0]|['k']|[i]".to_owned(), false),
            ("b", String::new(), true),
        ]
    );
    assert_eq!(template.sole_reference(), None);
    let sole = Template::parse("{{ tasks.a.output.rows }}").expect("parses");
    assert_eq!(sole.sole_reference().map(|reference| reference.root.as_str()), Some("tasks"));
    assert_eq!(Template::parse("{{ tasks.a.output.rows + 1 }}").expect("parses").sole_reference(), None);
}

#[test]
fn a_value_is_rendered_string_by_string_and_a_failure_names_its_place() {
    let value = json!({ "a": ["{{ params.limit }}", "x"], "b": { "c/d": "{{ ds }}!" }, "{{ ds }}": 1 });
    assert_eq!(
        render_value(&value, &context()),
        Ok(json!({ "a": [3, "x"], "b": { "c/d": "2026-01-31!" }, "{{ ds }}": 1 }))
    );
    let error = render_value(&json!({ "a": ["x", "{{ nope }}"] }), &context()).expect_err("undefined");
    assert_eq!(&*error.pointer, "/a/1");
    assert_eq!(error.to_string(), "a.1: `nope` has no value; give it one with `| default(…)` if that may happen");
    assert_eq!(render_map(&Map::new(), &context()), Ok(Map::new()));
}

#[test]
fn a_condition_is_true_or_false_and_says_of_what() {
    let names = json!({ "params": { "engine": "spark", "rows": 0, "long": "x".repeat(200) } });
    let Value::Object(names) = names else { unreachable!() };
    let context = Context::from_map(names);
    let ask = |text: &str| condition(text, &context);
    let yes = ask("{{ params.engine == 'spark' }}").unwrap();
    assert_eq!(
        (yes.met, yes.words.as_str()),
        (true, "`params.engine == 'spark'` is true, where params.engine is \"spark\"")
    );
    let no = ask("{{ params.rows > 0 or params.rows < params.rows or params.gone is defined }}").unwrap();
    let words = "`params.rows > 0 or params.rows < params.rows or params.gone is defined` is false, \
        where params.rows is 0 and params.gone is not there";
    assert_eq!((no.met, no.words.as_str()), (false, words));
    assert_eq!(ask("{{ false }}").unwrap(), Condition { met: false, words: "`false` is false".to_owned() });
    assert!(ask("{{ params.long == 1 }}").unwrap().words.ends_with("xxx…"));
    for (text, message) in [
        ("{{ params.rows }}", "`params.rows` is 0, neither true nor false"),
        ("{{ '' }}", "`''` is \"\", neither true nor false"),
        ("{{ true }} {{ true }}", "neither true nor false"),
        ("{{ params.gone }}", "has no value"),
        ("{{ params.gone == 1 }}", "params.gone"),
    ] {
        let error = ask(text).unwrap_err().to_string();
        assert!(error.contains(message), "{text}: {error}");
    }
}
