//! The page that documents the API: the `OpenAPI` document for people, without a script. On for this machine, off where
//! others can reach the server (reliability.md §5.4); `openapi.json` itself is for whoever is known.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;

use crate::problem::Problem;
use crate::routes::Answer;
use crate::state::ApiState;

/// Where it is, under the API's base.
pub(crate) const PATH: &str = "/docs";

/// The page.
pub(crate) async fn page(State(api): State<ApiState>) -> Answer<Response> {
    if !api.door().api_docs {
        let problem =
            Problem::not_found("page of the API's documentation: it is off where others can reach the server");
        return Err(problem.hint("`/api/v1/openapi.json` has the same for programs"));
    }
    let document: Value = serde_json::from_str(&api.openapi_text()).map_err(Problem::internal)?;
    Ok(([(CONTENT_TYPE, "text/html; charset=utf-8")], html(&document)).into_response())
}

fn html(document: &Value) -> String {
    let title = escaped(&text(&document["info"], "title"));
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title></head><body><h1>{title}</h1>\
         <p>{}</p><p>For programs: <a href=\"openapi.json\">openapi.json</a></p>",
        escaped(&text(&document["info"], "description"))
    );
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in item.as_object().into_iter().flatten() {
            page.push_str(&operation_html(path, method, operation));
        }
    }
    page.push_str("</body></html>\n");
    page
}

fn operation_html(path: &str, method: &str, operation: &Value) -> String {
    let mut out = format!(
        "<h2><code>{} {}</code></h2><p>{} <small>Role: {}.</small></p>",
        escaped(&method.to_uppercase()),
        escaped(path),
        escaped(&text(operation, "summary")),
        escaped(&text(operation, "x-minimum-role"))
    );
    let described = text(operation, "description");
    if !described.is_empty() {
        out.extend(["<p>", &escaped(&described), "</p>"]);
    }
    let parameters = operation["parameters"].as_array().map_or(&[][..], Vec::as_slice);
    let mut rows = parameters.iter().map(|one| {
        let (name, place) = (escaped(&text(one, "name")), escaped(&text(one, "in")));
        format!("<tr><td><code>{name}</code></td><td>{place}</td><td>{}</td></tr>", escaped(&text(one, "description")))
    });
    if let Some(first) = rows.next() {
        out.extend(["<table>".to_owned(), first].into_iter().chain(rows).chain(["</table>".to_owned()]));
    }
    out
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_on_the_page_and_nothing_is_markup_by_accident() {
        let document: Value = serde_json::from_str(&crate::openapi_json()).expect("JSON");
        let page = html(&document);
        let operations: usize = document["paths"]
            .as_object()
            .expect("paths")
            .values()
            .map(|item| item.as_object().map_or(0, serde_json::Map::len))
            .sum();
        assert_eq!(page.matches("<h2>").count(), operations);
        assert!(page.contains("GET /api/v1/workflows/{workflow}") && !page.contains("<script"));
        assert_eq!(escaped("<a href=\"x\">&"), "&lt;a href=&quot;x&quot;&gt;&amp;");
    }
}
