//! Cameras, and videos that other programs decode.
//!
//! A camera that fails is opened again and again ([`live`]); V4L2 is spoken here ([`v4l2`]);
//! everything else comes through the pipe of a program ([`programs`], [`spawned`]) that knows the
//! hardware or the codec better and is on the machine anyway.

mod list;
mod live;
mod modes;
mod programs;
mod spawned;
#[cfg(test)]
mod tests;
mod v4l2;
mod wait;

use std::ffi::{OsStr, OsString};
use std::time::Duration;

pub use list::{Camera, cameras};
pub use modes::Mode;
pub(super) use spawned::end_programs;

use self::live::Live;
use self::programs::Plan;
use self::spawned::Spawned;
use self::v4l2::V4l2;
use super::uri::Uri;
use super::{Source, SourceOptions};
use crate::frame::{FrameError, limits};

/// Pause before the first attempt to open a lost camera again; the later ones are longer.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Opens a camera, a stream or a video.
///
/// A camera that is not there yet is no error here: its source says so and waits for it.
pub(super) fn open(uri: &Uri, options: SourceOptions) -> Result<Box<dyn Source>, FrameError> {
    open_with(uri, options, &search_path(), FIRST_PAUSE)
}

/// Where programs are looked for.
fn search_path() -> OsString {
    std::env::var_os("PATH").unwrap_or_default()
}

fn open_with(
    uri: &Uri,
    options: SourceOptions,
    search: &OsStr,
    first_pause: Duration,
) -> Result<Box<dyn Source>, FrameError> {
    let name = uri.to_string();
    if let Some((width, height)) = options.size {
        limits::check_size(&name, width, height)?;
    }
    if !uri.is_live() {
        return open_once(uri, &options, search);
    }
    if options.looped {
        return Err(FrameError::Option {
            name,
            reason: "a camera has no end to begin again from".into(),
            remedy: "leave out --loop",
        });
    }
    let (uri, search) = (uri.clone(), search.to_owned());
    let open = move || open_once(&uri, &options, &search);
    Ok(Box::new(Live::open(&name, Box::new(open), first_pause)?))
}

fn open_once(
    uri: &Uri,
    options: &SourceOptions,
    search: &OsStr,
) -> Result<Box<dyn Source>, FrameError> {
    if let Uri::V4l2(path) = uri {
        return Ok(Box::new(V4l2::open(path, options)?));
    }
    let plan = Plan::of(uri, options)?;
    Ok(Box::new(Spawned::open(&uri.to_string(), plan, search)?))
}
