//! What goes on as long as somebody looks on: answers and pictures.

use std::convert::Infallible;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::{Stream, stream};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{sleep, timeout};

use super::house::House;
use super::live::{Live, Read};
use super::problem::Problem;
use super::{Route, picture};
use crate::frame::Frame;

/// Longer side of the live picture in pixels.
const SIDE: u32 = 640;
const QUALITY: u8 = 75;
/// Silence after which a stream of answers says that it is still there.
const STILL_THERE: Duration = Duration::from_secs(10);
/// How long a picture is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn routes() -> Vec<Route> {
    vec![
        ("get", "/v1/events", get(events)),
        ("get", "/v1/frame.jpg", get(frame)),
        ("get", "/v1/stream.mjpg", get(mjpeg)),
    ]
}

type Shared = State<Arc<House>>;

/// Makes a JPEG of each picture that the loop shows. It shows one only while somebody looks.
pub(super) async fn paint(house: Arc<House>) {
    let mut stop = house.stop.clone();
    let mut frame = Frame::new();
    loop {
        tokio::select! {
            () = house.live.pictured.notified() => {}
            _ = stop.wait_for(|&stop| stop) => return,
        }
        house.live.take_picture(&mut frame);
        let painted = tokio::task::spawn_blocking(move || {
            let jpeg = picture::jpeg(&frame, SIDE, QUALITY);
            (frame, jpeg)
        });
        match painted.await {
            Ok((back, jpeg)) => {
                frame = back;
                if let Some(jpeg) = jpeg {
                    house.jpeg.send_replace(jpeg.into());
                }
            }
            // a panic has been told already, or the runtime is ending
            Err(_) => frame = Frame::new(),
        }
    }
}

/// Somebody who looks at the picture; the loop hands over pictures as long as there is one.
struct Viewer {
    live: Arc<Live>,
    jpeg: watch::Receiver<Bytes>,
}

impl Viewer {
    fn new(house: &House) -> Self {
        house.live.viewers.fetch_add(1, Ordering::Relaxed);
        Self { live: Arc::clone(&house.live), jpeg: house.jpeg.subscribe() }
    }

    /// The next picture; none when the server ends.
    async fn next(&mut self) -> Option<Bytes> {
        self.jpeg.changed().await.ok()?;
        Some(self.jpeg.borrow_and_update().clone())
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.live.viewers.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn frame(State(house): Shared) -> Result<Response, Problem> {
    let mut viewer = Viewer::new(&house);
    match timeout(PATIENCE, viewer.next()).await {
        Ok(Some(jpeg)) => Ok(([(CONTENT_TYPE, "image/jpeg")], jpeg).into_response()),
        _ => Err(Problem::busy(
            house.trouble().unwrap_or_else(|| "no picture came from the camera".to_owned()),
        )),
    }
}

async fn mjpeg(State(house): Shared) -> Result<Response, Problem> {
    let place = house.viewer()?;
    let state = (Viewer::new(&house), house.stop.clone(), place);
    let parts = stream::unfold(state, |(mut viewer, mut stop, place)| async move {
        let jpeg = tokio::select! {
            jpeg = viewer.next() => jpeg?,
            _ = stop.wait_for(|&stop| stop) => return None,
        };
        let head = format!("Content-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n", jpeg.len());
        let part = [b"--picture\r\n", head.as_bytes(), &jpeg, b"\r\n"].concat();
        Some((Ok::<_, Infallible>(Bytes::from(part)), (viewer, stop, place)))
    });
    let kind = [(CONTENT_TYPE, "multipart/x-mixed-replace; boundary=picture")];
    Ok((kind, Body::from_stream(parts)).into_response())
}

async fn events(State(house): Shared) -> Result<Response, Problem> {
    let place = house.viewer()?;
    let lines = lines(Arc::clone(&house.live), house.stop.clone(), place);
    Ok(([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(lines)).into_response())
}

/// The changes that were, then what comes, as server-sent events.
fn lines(
    live: Arc<Live>,
    stop: watch::Receiver<bool>,
    place: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<String, Infallible>> {
    let state = (live, stop, place, Read::default());
    stream::unfold(state, |(live, mut stop, place, mut read)| async move {
        let text = loop {
            // listened for before it is looked at: nothing falls in between
            let written = live.written.notified();
            let mut written = std::pin::pin!(written);
            written.as_mut().enable();
            let news = live.news(&mut read);
            if !news.is_empty() {
                let mut text = String::new();
                for (change, line) in news {
                    let name = if change { "change" } else { "frame" };
                    // writing into a String cannot fail
                    let _ = write!(text, "event: {name}\ndata: {line}\n\n");
                }
                break text;
            }
            tokio::select! {
                () = written => {}
                () = sleep(STILL_THERE) => break ": still there\n\n".to_owned(),
                _ = stop.wait_for(|&stop| stop) => return None,
            }
        };
        Some((Ok(text), (live, stop, place, read)))
    })
}
