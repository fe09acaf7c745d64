//! Requests that change what is known.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::routing::{delete, patch, post};
use serde::Deserialize;
use serde_json::{Value, json};

use super::guard::is_json;
use super::house::{House, Name, kind};
use super::problem::Problem;
use super::{Route, Taught};

pub(super) fn routes() -> Vec<Route> {
    vec![
        ("post", "/v1/learn", post(learn)),
        ("delete", "/v1/shots/{key}", delete(forget_shot)),
        ("patch", "/v1/shots/{key}", patch(move_shot)),
        ("delete", "/v1/classes/{label}", delete(forget_class)),
        ("patch", "/v1/classes/{label}", patch(rename_class)),
        ("post", "/v1/undo", post(undo)),
    ]
}

/// What is to be learned from the camera.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Learn {
    label: String,
    #[serde(default = "one")]
    frames: usize,
    region: Option<String>,
    /// Least time between two frames.
    #[serde(default)]
    every_ms: u64,
}

fn one() -> usize {
    1
}

/// A class's name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Label {
    label: String,
}

type Shared = State<Arc<House>>;

async fn learn(State(house): Shared, request: Request) -> Result<Json<Taught>, Problem> {
    let kind = kind(&request).unwrap_or_default();
    let taught = if is_json(kind) {
        if request.uri().query().is_some() {
            return Err(Problem::bad(
                "JSON has the label in it: leave out what stands behind the ?",
            ));
        }
        let Learn { label, frames, region, every_ms } = house.json(request).await?;
        let apart = Duration::from_millis(every_ms);
        house
            .slow(move |keeper| keeper.learn_camera(&label, region.as_deref(), frames, apart))
            .await?
    } else if kind.starts_with("image/") {
        let Ok(Query(Label { label })) = Query::try_from_uri(request.uri()) else {
            return Err(Problem::bad("say of which class the picture is: /v1/learn?label=NAME"));
        };
        let upload = house.receive(request).await?;
        house.slow(move |keeper| keeper.learn_picture(&label, &upload.bytes)).await?
    } else {
        let detail = "this takes JSON with a label, or a picture: say which by Content-Type";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    };
    Ok(Json(taught))
}

async fn forget_shot(State(house): Shared, name: Name) -> Result<Json<Value>, Problem> {
    let key = name.key()?;
    let gone = house.slow(move |keeper| keeper.forget_shot(key)).await?;
    Ok(Json(json!({"keys": gone.keys, "class": gone.class, "stale": gone.stale})))
}

async fn move_shot(
    State(house): Shared,
    name: Name,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let key = name.key()?;
    let Label { label } = house.json(request).await?;
    let moved = house.slow(move |keeper| keeper.move_shot(key, &label)).await?;
    Ok(Json(json!({"new_class": moved.new_class, "class": moved.class, "stale": moved.stale})))
}

async fn forget_class(State(house): Shared, name: Name) -> Result<Json<Value>, Problem> {
    let gone = house.slow(move |keeper| keeper.forget_class(&name.0)).await?;
    Ok(Json(json!({"keys": gone.keys, "class": gone.class, "stale": gone.stale})))
}

async fn rename_class(
    State(house): Shared,
    name: Name,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let Label { label } = house.json(request).await?;
    let new = label.clone();
    house.slow(move |keeper| keeper.rename_class(&name.0, &new)).await?;
    Ok(Json(json!({"label": label.trim()})))
}

async fn undo(State(house): Shared) -> Result<Json<Value>, Problem> {
    let undone = house.slow(|keeper| keeper.undo()).await?;
    let nothing = || Problem::new(StatusCode::CONFLICT, "there is nothing left to undo");
    let undone = undone.ok_or_else(nothing)?;
    Ok(Json(json!({"what": undone.what, "left": undone.left})))
}
