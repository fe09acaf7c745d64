//! What every answer needs, and how much of the machine all of them together may take.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequestParts, Path, Request};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::request::Parts as RequestParts;
use axum::http::{Method, StatusCode, Uri};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;

use super::guard::is_json;
use super::problem::Problem;
use super::{Keeper, KeeperError, Live};
use crate::asset::FileError;
use crate::fit::FitError;
use crate::frame::FrameError;
use crate::state::StateError;
use crate::watch::{DeskError, Health};

/// Gives the text of `/metrics`.
pub type Metrics = Arc<dyn Fn() -> String + Send + Sync>;

/// What is served.
#[derive(Clone)]
pub struct Parts {
    /// Keeps what was learned.
    pub keeper: Arc<Keeper>,
    /// What the loop shows.
    pub live: Arc<Live>,
    /// How the loop is doing.
    pub health: Arc<Health>,
    /// What `/metrics` says; it is not there without.
    pub metrics: Option<Metrics>,
}

/// Requests that may do something slow at the same time.
const MAX_SLOW: usize = 6;
/// Pictures that are received at the same time.
const MAX_UPLOADS: usize = 2;
/// Streams of answers or pictures at the same time.
const MAX_VIEWERS: usize = 8;
/// Bytes of a picture that is sent.
const MAX_PICTURE: usize = 16 << 20;
/// Bytes of JSON that is sent.
const MAX_JSON: usize = 64 << 10;
/// Time for one piece of what is sent, and for all of it.
const PIECE: Duration = Duration::from_secs(10);
const WHOLE: Duration = Duration::from_secs(60);
/// How long a request waits for its turn.
const TURN: Duration = Duration::from_secs(10);
/// Age of the last answer from which on the program is not ready.
const STALE: Duration = Duration::from_secs(10);

pub(super) struct House {
    pub(super) keeper: Arc<Keeper>,
    pub(super) live: Arc<Live>,
    pub(super) health: Arc<Health>,
    pub(super) metrics: Option<Metrics>,
    /// The newest picture as JPEG, while somebody looks.
    pub(super) jpeg: watch::Sender<Bytes>,
    pub(super) stop: watch::Receiver<bool>,
    slow: Arc<Semaphore>,
    uploads: Arc<Semaphore>,
    viewers: Arc<Semaphore>,
}

/// What somebody sent, and the place that it takes until it is dropped.
pub(super) struct Upload {
    pub(super) bytes: Bytes,
    _place: Option<OwnedSemaphorePermit>,
}

impl House {
    pub(super) fn new(parts: Parts, stop: watch::Receiver<bool>) -> Self {
        let Parts { keeper, live, health, metrics } = parts;
        Self {
            keeper,
            live,
            health,
            metrics,
            jpeg: watch::Sender::new(Bytes::new()),
            stop,
            slow: Arc::new(Semaphore::new(MAX_SLOW)),
            uploads: Arc::new(Semaphore::new(MAX_UPLOADS)),
            viewers: Arc::new(Semaphore::new(MAX_VIEWERS)),
        }
    }

    /// Does something slow on another thread.
    pub(super) async fn slow<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Keeper) -> Result<T, KeeperError> + Send + 'static,
    ) -> Result<T, Problem> {
        let turn = turn(&self.slow).await?;
        let keeper = Arc::clone(&self.keeper);
        let done = tokio::task::spawn_blocking(move || {
            // kept until it is done, also when whoever asked has gone
            let _turn = turn;
            work(&keeper)
        });
        let internal =
            |_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "something broke inside");
        Ok(done.await.map_err(internal)??)
    }

    /// A place among those who look on.
    pub(super) fn viewer(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.viewers).try_acquire_owned().map_err(|_| {
            Problem::busy(format!("{MAX_VIEWERS} look on already: close the page somewhere else"))
        })
    }

    /// What `request` brings: a picture, or JSON, which is smaller.
    pub(super) async fn receive(&self, request: Request) -> Result<Upload, Problem> {
        let json = kind(&request).is_some_and(is_json);
        let max = if json { MAX_JSON } else { MAX_PICTURE };
        let too_large = || {
            let what = if json { "JSON" } else { "a picture" };
            let detail = format!("{what} of more than {} KiB is not taken", max / 1024);
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
        };
        let told = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
        if told.and_then(|told| told.parse::<u64>().ok()).is_some_and(|told| told > max as u64) {
            return Err(too_large());
        }
        let place = if json { None } else { Some(turn(&self.uploads).await?) };
        let mut pieces = request.into_body().into_data_stream();
        let read = async {
            let mut bytes = Vec::new();
            while let Some(piece) = timeout(PIECE, pieces.next()).await.map_err(|_| slow())? {
                let piece = piece.map_err(|_| Problem::bad("what was sent was cut short"))?;
                if bytes.len() + piece.len() > max {
                    return Err(too_large());
                }
                bytes.extend_from_slice(&piece);
            }
            Ok(bytes)
        };
        let bytes = timeout(WHOLE, read).await.map_err(|_| slow())??;
        Ok(Upload { bytes: bytes.into(), _place: place })
    }

    /// The JSON that `request` brings.
    pub(super) async fn json<T: DeserializeOwned>(&self, request: Request) -> Result<T, Problem> {
        if !kind(&request).is_some_and(is_json) {
            let detail = "this takes JSON: send it with Content-Type: application/json";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
        }
        let upload = self.receive(request).await?;
        serde_json::from_slice(&upload.bytes)
            .map_err(|error| Problem::bad(format!("the JSON cannot be used: {error}")))
    }

    /// Why no answers come; none while they do.
    pub(super) fn trouble(&self) -> Option<String> {
        if let Some(trouble) = self.health.input_trouble() {
            return Some(trouble);
        }
        match self.live.since_last() {
            None => Some("no frame was answered yet".to_owned()),
            Some(age) if age > STALE => {
                Some(format!("the last frame was answered {} s ago", age.as_secs()))
            }
            Some(_) => None,
        }
    }
}

fn slow() -> Problem {
    Problem::new(StatusCode::REQUEST_TIMEOUT, "what was sent came too slowly")
}

async fn turn(of: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Problem> {
    match timeout(TURN, Arc::clone(of).acquire_owned()).await {
        Ok(Ok(turn)) => Ok(turn),
        _ => Err(Problem::busy("too much at once: try again in a moment")),
    }
}

/// What a request says that it brings.
pub(super) fn kind(request: &Request) -> Option<&str> {
    request.headers().get(CONTENT_TYPE)?.to_str().ok()
}

/// A class's name or a shot's number in a path.
pub(super) struct Name(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut RequestParts, state: &S) -> Result<Self, Problem> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(name)) => Ok(Self(name)),
            Err(_) => {
                Err(Problem::bad("the address is not UTF-8 text, written as %C3%A9 and so on"))
            }
        }
    }
}

impl Name {
    pub(super) fn key(&self) -> Result<u64, Problem> {
        let not_a_number = |_| Problem::new(StatusCode::NOT_FOUND, "shots have numbers");
        self.0.parse().map_err(not_a_number)
    }
}

pub(super) async fn not_found(uri: Uri) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, format!("there is nothing at {}", uri.path()))
}

pub(super) async fn not_allowed(method: Method, uri: Uri) -> Problem {
    let detail = format!("{} does not take {method}", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}

impl From<KeeperError> for Problem {
    fn from(error: KeeperError) -> Self {
        let status = match &error {
            KeeperError::Desk(DeskError::Answer(_)) => StatusCode::INTERNAL_SERVER_ERROR,
            KeeperError::Desk(_) => StatusCode::SERVICE_UNAVAILABLE,
            KeeperError::Region { .. } => StatusCode::NOT_FOUND,
            KeeperError::State(StateError::Fit(
                FitError::UnknownClass(_) | FitError::UnknownKey(_),
            )) => StatusCode::NOT_FOUND,
            KeeperError::State(StateError::File(FileError::Write { .. })) => {
                StatusCode::INSUFFICIENT_STORAGE
            }
            KeeperError::State(
                StateError::Fit(_) | StateError::Label(_) | StateError::TooMuch { .. },
            )
            | KeeperError::Frames(_) => StatusCode::UNPROCESSABLE_ENTITY,
            KeeperError::State(_) => StatusCode::INTERNAL_SERVER_ERROR,
            KeeperError::Picture(FrameError::TooBig { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
            KeeperError::Picture(FrameError::Unsupported { .. }) => {
                StatusCode::UNSUPPORTED_MEDIA_TYPE
            }
            KeeperError::Picture(_) => StatusCode::UNPROCESSABLE_ENTITY,
        };
        Self::new(status, error.to_string())
    }
}
