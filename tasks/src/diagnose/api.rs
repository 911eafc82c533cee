//! The OpenSky API: whether there is an account, whether it is taken, and whether the internet is there. No call costs credits.

use super::{Gravity, Problem, chain, client};
use crate::opensky::OpenSky;

const REMEDY: &str = "make a client on the account page of opensky-network.org and set UPDRAFT_CONN_OPENSKY__CLIENT_ID and \
                      UPDRAFT_CONN_OPENSKY__CLIENT_SECRET (in containers: in .env)";

pub(super) async fn look(connection: &OpenSky) -> Vec<Problem> {
    let anonymous = connection.client_id.is_none() && connection.client_secret.is_none();
    if anonymous && connection.credentials_file.is_none() {
        let mut found = vec![Problem::new(
            "api_credentials_missing",
            Gravity::Warning,
            "calls to the OpenSky API are anonymous: 400 credits a day, where an account has 4,000",
            REMEDY,
        )];
        found.extend(reachable(&connection.base_url).await);
        return found;
    }
    // `credentials_file` is read by the tasks, in their project.
    let (Some(id), Some(secret)) = (&connection.client_id, &connection.client_secret) else {
        return reachable(&connection.base_url).await.into_iter().collect();
    };
    let form = [("grant_type", "client_credentials"), ("client_id", id), ("client_secret", secret.expose())];
    match client().post(&connection.token_url).form(&form).send().await {
        Ok(answer) if answer.status().is_client_error() => vec![Problem::new(
            "api_credentials_refused",
            Gravity::Error,
            format!("OpenSky's account service refuses the client ({})", answer.status()),
            REMEDY,
        )],
        Ok(answer) if !answer.status().is_success() => vec![silent(&answer.status().to_string())],
        Ok(_) => reachable(&connection.base_url).await.into_iter().collect(),
        Err(error) => vec![silent(&chain(error))],
    }
}

fn silent(reason: &str) -> Problem {
    Problem::new(
        "api_unreachable",
        Gravity::Unreachable,
        format!("the OpenSky API does not answer: {reason}"),
        "see that this machine reaches the internet, and whether opensky-network.org is up; HTTPS_PROXY where a proxy is needed",
    )
}

async fn reachable(base_url: &str) -> Option<Problem> {
    // The path above the API is a page: asked for, it costs nothing.
    client().get(base_url).send().await.err().map(|error| silent(&chain(error)))
}
