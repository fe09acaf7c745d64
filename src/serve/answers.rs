//! Requests that change nothing.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};

use super::house::{House, Name, kind};
use super::problem::Problem;
use super::{ClassView, HealthView, Route, ShotView};
use crate::lines::Lines;

const JSON: [(HeaderName, &str); 1] = [(CONTENT_TYPE, "application/json")];

pub(super) fn routes() -> Vec<Route> {
    vec![
        ("get", "/v1/status", get(status)),
        ("post", "/v1/classify", post(classify)),
        ("get", "/v1/classes", get(classes)),
        ("get", "/v1/classes/{label}/shots", get(shots)),
        ("get", "/v1/shots/{key}/thumbnail.jpg", get(thumbnail)),
        ("get", "/v1/health", get(health)),
        ("get", "/healthz", get(alive)),
        ("get", "/readyz", get(ready)),
        ("get", "/metrics", get(metrics)),
    ]
}

type Shared = State<Arc<House>>;

async fn status(State(house): Shared) -> Json<Value> {
    let summary = house.keeper.summary();
    let lines = house.live.lines();
    // written by this program a moment ago: what cannot be read is left out
    let latest: Vec<Value> =
        lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let latency = latest.first().map(|line| line["ms"].clone());
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "asset": summary.asset,
        "head": summary.head,
        "generation": summary.generation,
        "classes": summary.classes,
        "shots": summary.shots,
        "regions": house.keeper.regions(),
        "durable": summary.durable,
        "undoable": summary.undoable,
        "notes": summary.notes,
        "trouble": house.trouble(),
        "frames": {
            "captured": house.health.captured(),
            "answered": house.health.answered(),
            "still": house.health.still(),
        },
        "latency": latency,
        "latest": latest,
    }))
}

async fn classify(State(house): Shared, request: Request) -> Result<Response, Problem> {
    if !kind(&request).is_some_and(|kind| kind.starts_with("image/")) {
        let detail =
            "this takes a picture: send it with Content-Type: image/jpeg, or another image";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    let upload = house.receive(request).await?;
    let (seen, decode) = house.slow(move |keeper| keeper.look_at(&upload.bytes)).await?;
    let mut lines = Lines::new();
    let line = lines.answer("upload", decode, &seen.labels, &seen.answer);
    let line =
        line.map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok((JSON, line.to_owned()).into_response())
}

async fn classes(State(house): Shared) -> Result<Json<Vec<ClassView>>, Problem> {
    Ok(Json(house.slow(|keeper| keeper.classes()).await?))
}

async fn shots(State(house): Shared, name: Name) -> Result<Json<Vec<ShotView>>, Problem> {
    Ok(Json(house.slow(move |keeper| keeper.shots(&name.0)).await?))
}

async fn thumbnail(State(house): Shared, name: Name) -> Result<Response, Problem> {
    let key = name.key()?;
    let jpeg = house.slow(move |keeper| Ok(keeper.thumbnail(key))).await?;
    let missing = || {
        let detail = format!("of shot {key} no picture was kept");
        Problem::new(StatusCode::NOT_FOUND, detail)
    };
    // numbers are never used again, so that a shot keeps its picture
    let head = [(CONTENT_TYPE, "image/jpeg"), (CACHE_CONTROL, "private, max-age=3600")];
    Ok((head, jpeg.ok_or_else(missing)?).into_response())
}

async fn health(State(house): Shared) -> Result<Json<HealthView>, Problem> {
    let view = house.slow(|keeper| keeper.health()).await?;
    Ok(Json(HealthView::clone(&view)))
}

async fn alive() -> &'static str {
    "alive\n"
}

async fn ready(State(house): Shared) -> Result<&'static str, Problem> {
    house.trouble().map_or(Ok("ready\n"), |trouble| Err(Problem::busy(trouble)))
}

async fn metrics(State(house): Shared) -> Result<Response, Problem> {
    let Some(metrics) = house.metrics.clone() else {
        return Err(Problem::new(StatusCode::NOT_FOUND, "no metrics are kept"));
    };
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4")], metrics()).into_response())
}
