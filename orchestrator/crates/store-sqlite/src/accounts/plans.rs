//! Each look-up and each filter of the audit log has its index, and no page is sorted.

use sqlx::{AssertSqlSafe, Executor, Row};
use updraft_model::time::Timestamp;
use updraft_store::accounts::AuditFilter;

use super::sql;
use crate::{connect, migrate};

#[tokio::test]
async fn accounts_are_looked_up_and_the_audit_log_is_paged_by_indexes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("plans.db");
    connect::prepare_file(&path).expect("make the file");
    let mut connection = connect::writer(&path).await.expect("open");
    migrate::run(&mut connection).await.expect("migrate");
    let none = AuditFilter { limit: 50, ..AuditFilter::default() };
    let text = || Some("x".to_owned());
    let audit = [
        (none.clone(), "SCAN audit"),
        (AuditFilter { before: Some(9), ..none.clone() }, "SEARCH audit USING INTEGER PRIMARY KEY"),
        (AuditFilter { actor: text(), ..none.clone() }, "INDEX audit_of_actor"),
        (AuditFilter { actor: text(), before: Some(9), ..none.clone() }, "INDEX audit_of_actor"),
        (AuditFilter { action: text(), ..none.clone() }, "INDEX audit_of_action"),
        (AuditFilter { subject: text(), before: Some(9), ..none.clone() }, "INDEX audit_of_subject"),
        (AuditFilter { since: Some(Timestamp::from_millis(1)), ..none }, "audit"),
    ];
    let mut statements: Vec<(String, &str)> =
        audit.iter().map(|(filter, expected)| (sql::audit(filter), *expected)).collect();
    statements.extend(
        [
            (sql::SESSION, "SEARCH s USING PRIMARY KEY"),
            (sql::TOKEN, "SEARCH t USING INDEX"),
            (sql::TOKENS_OF, "INDEX api_token_of_owner"),
            (sql::TOKENS, "PRIMARY KEY"),
            (sql::USERS, "PRIMARY KEY"),
            (sql::LINK, "PRIMARY KEY"),
            (sql::USE_LINK, "PRIMARY KEY"),
            (sql::END_SESSIONS, "INDEX session_of_user"),
            (sql::LAST_AUDIT, "audit"),
            (sql::AUDIT_AFTER, "INTEGER PRIMARY KEY"),
        ]
        .map(|(statement, expected)| (statement.to_owned(), expected)),
    );
    for (statement, expected) in statements {
        let explained = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
        let rows = connection.fetch_all(explained).await.expect("a plan");
        let plan: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
        assert!(plan.iter().any(|line| line.contains(expected)), "{statement}: {plan:?}");
        // Entries are found by their index, and come in its order.
        assert!(
            !plan.iter().any(|line| line.contains("TEMP B-TREE")
                && statement.contains("ORDER BY seq")
                && !statement.contains("at >=")),
            "{statement}: {plan:?}"
        );
    }
}
