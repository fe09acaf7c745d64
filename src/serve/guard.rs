//! Who may ask what: before a request reaches its answer it passes here.
//!
//! Three things are looked at. `Host`: a name that is not ours was pointed at this machine by somebody
//! else's page (DNS rebinding). Where a change comes from: another page in the same browser must not
//! teach or delete (CSRF). And the token, where there is one.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderName, ORIGIN};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Token;
use super::problem::Problem;

/// What the guard knows.
pub(super) struct Guard {
    pub(super) token: Option<Token>,
    /// Whether the picture and the answers are shown without the token too.
    pub(super) open_reading: bool,
    /// Names by which this machine may be called, in lower case.
    pub(super) names: Vec<String>,
}

/// Headers of every answer.
const HEADERS: [(&str, &str); 5] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; \
         connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("x-frame-options", "DENY"),
    ("cross-origin-resource-policy", "same-origin"),
];

/// What can be had without the token: the page itself, which shows nothing without it, and whether
/// the program is well.
const OPEN: [&str; 6] = ["/", "/page.css", "/page.js", "/icon.svg", "/healthz", "/readyz"];

pub(super) async fn pass(
    State(guard): State<Arc<Guard>>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = match guard.check(&request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

impl Guard {
    fn check(&self, request: &Request) -> Result<(), Problem> {
        let (headers, method) = (request.headers(), request.method());
        let reads = method == Method::GET || method == Method::HEAD;
        let host = self.host(headers)?;
        if !reads {
            same_origin(headers, host)?;
            // what a form or a plain fetch of another page cannot send without being asked
            if method != Method::DELETE && !is_ours(headers) {
                return Err(Problem::new(
                    StatusCode::UNSUPPORTED_MEDIA_TYPE,
                    "say what you send: Content-Type: application/json, or image/jpeg for a picture",
                ));
            }
        }
        let open = OPEN.contains(&request.uri().path()) || self.open_reading;
        match &self.token {
            Some(token) if !(reads && open) => authorized(token, headers),
            _ => Ok(()),
        }
    }

    /// The name that the request was sent to, if it is ours.
    fn host<'h>(&self, headers: &'h HeaderMap) -> Result<&'h str, Problem> {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        let host = host.ok_or_else(|| Problem::bad("the request has no usable Host header"))?;
        let name = without_port(host).to_ascii_lowercase();
        // an address cannot be pointed elsewhere, only a name can
        let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        if address.is_ok() || name == "localhost" || self.names.contains(&name) {
            return Ok(host);
        }
        Err(Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            format!(
                "this machine is not known as {name:?}: use its address, or add the name to those \
                 that the page is served under"
            ),
        ))
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        // the colons of an IPv6 address stand in brackets
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Refuses what a browser sends for a page that is not ours. What is no browser says nothing of that.
fn same_origin(headers: &HeaderMap, host: &str) -> Result<(), Problem> {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("null"));
    let site = text(HeaderName::from_static("sec-fetch-site"));
    let origin = text(ORIGIN).map(|origin| origin.split_once("://").map_or("", |(_, host)| host));
    let foreign_site = site.is_some_and(|site| site != "same-origin" && site != "none");
    if foreign_site || origin.is_some_and(|origin| !origin.eq_ignore_ascii_case(host)) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "another page asked for this change: changes are made on tipcam's own page",
        ));
    }
    Ok(())
}

fn is_ours(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    is_json(kind) || kind.starts_with("image/")
}

/// Whether a content type is JSON.
pub(super) fn is_json(kind: &str) -> bool {
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

fn authorized(token: &Token, headers: &HeaderMap) -> Result<(), Problem> {
    let given = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
    match given.and_then(|given| given.split_at_checked("Bearer ".len())) {
        Some((scheme, given)) if scheme.eq_ignore_ascii_case(b"Bearer ") && token.is(given) => {
            Ok(())
        }
        _ => Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "this needs the token that tipcam printed when it started first: open the page by that \
             address, or send the header Authorization: Bearer TOKEN",
        )),
    }
}
