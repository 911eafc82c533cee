//! PostgreSQL: whether it answers, lets this role in, has the database, rights and tables, and writes the log that change data
//! capture reads.

use std::str::FromStr as _;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};

use super::{Gravity, LIMIT, Needs, Problem};
use crate::warehouse_load::WarehouseConnection;

pub(super) async fn look(connection: &WarehouseConnection, needs: &Needs) -> Vec<Problem> {
    let Some(mut options) = connection.url.as_deref().and_then(|url| PgConnectOptions::from_str(url).ok()) else {
        return vec![Problem::new(
            "bad_connection",
            Gravity::Error,
            "the connection's `url` does not read",
            "write `url: postgres://USER@HOST:PORT/DATABASE`",
        )];
    };
    if let Some(password) = &connection.password {
        options = options.password(password.expose());
    }
    let place = format!("{}:{}", options.get_host(), options.get_port());
    let opened = tokio::time::timeout(LIMIT, PgConnection::connect_with(&options)).await;
    let mut session = match opened {
        Ok(Ok(session)) => session,
        Ok(Err(error)) => return vec![refused(&place, &options, &error)],
        Err(_) => return vec![silent(&place, &format!("no answer within {} s", LIMIT.as_secs()))],
    };
    let found = inside(&mut session, &place, connection, needs).await;
    let _ = tokio::time::timeout(LIMIT, session.close()).await;
    found.unwrap_or_else(|error| vec![silent(&place, &error.to_string())])
}

fn silent(place: &str, reason: &str) -> Problem {
    Problem::new(
        "postgres_unreachable",
        Gravity::Unreachable,
        format!("PostgreSQL at {place} does not answer: {reason}"),
        "start it (make up, or cargo xtask services up postgres) and look into its log (make logs SERVICE=postgres)",
    )
}

fn refused(place: &str, options: &PgConnectOptions, error: &sqlx::Error) -> Problem {
    let database = options.get_database().unwrap_or_else(|| options.get_username());
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code).unwrap_or_default().into_owned();
    match code.as_str() {
        "28P01" | "28000" => Problem::new(
            "postgres_password",
            Gravity::Error,
            format!("PostgreSQL at {place} does not let {} in: wrong name or password", options.get_username()),
            "set the connection's `password`, such as by UPDRAFT_CONN_POSTGRES__PASSWORD; in containers it is OPENSKY_DB_PASSWORD of .env, \
             which a volume that is there already does not follow",
        ),
        "3D000" => Problem::new(
            "postgres_database_missing",
            Gravity::Error,
            format!("PostgreSQL at {place} has no database {database}"),
            format!("make it: createdb {database}; in containers deploy/postgres/init.sh does, when the volume is new"),
        ),
        "42501" => Problem::new(
            "postgres_rights",
            Gravity::Error,
            format!("{} may not connect to the database {database} of PostgreSQL at {place}", options.get_username()),
            format!("grant connect on database {database} to {}", options.get_username()),
        ),
        "" => silent(place, &error.to_string()),
        _ => Problem::new(
            "postgres_refuses",
            Gravity::Error,
            format!("PostgreSQL at {place} refuses: {error}"),
            "look into its log (make logs SERVICE=postgres)",
        ),
    }
}

async fn inside(
    session: &mut PgConnection,
    place: &str,
    connection: &WarehouseConnection,
    needs: &Needs,
) -> Result<Vec<Problem>, sqlx::Error> {
    let mut found = Vec::new();
    let schema: Option<String> = sqlx::query_scalar("select current_schema()::text").fetch_one(&mut *session).await?;
    let may: Option<bool> =
        sqlx::query_scalar("select has_schema_privilege(current_schema(), 'create')").fetch_one(&mut *session).await?;
    if may != Some(true) {
        let (schema, role): (_, String) = (
            schema.unwrap_or_else(|| "of the search path".to_owned()),
            sqlx::query_scalar("select current_user::text").fetch_one(&mut *session).await?,
        );
        found.push(Problem::new(
            "postgres_rights",
            Gravity::Error,
            format!("{role} may make no tables in the schema {schema} of PostgreSQL at {place}"),
            format!("grant create on schema {schema} to {role}, or let the role own the database"),
        ));
    }
    let level: String = sqlx::query_scalar("select current_setting('wal_level')").fetch_one(&mut *session).await?;
    if level != "logical" {
        found.push(Problem::new(
            "postgres_wal_level",
            Gravity::Warning,
            format!(
                "`wal_level` of PostgreSQL at {place} is {level}, and change data capture (Debezium) needs logical"
            ),
            "set `wal_level = logical`, as deploy/postgres/postgresql.conf does, and restart the server",
        ));
    }
    for table in needs.tables.iter().map(|table| connection.table(table)) {
        let there: bool =
            sqlx::query_scalar("select to_regclass($1) is not null").bind(table).fetch_one(&mut *session).await?;
        if !there {
            found.push(Problem::new(
                "postgres_table_missing",
                Gravity::Error,
                format!("PostgreSQL at {place} has no table {table}, which a workflow loads"),
                "updraft run workflows/opensky/migrate.yaml with the same --profile; in containers: docker compose run --rm tables",
            ));
        }
    }
    Ok(found)
}
