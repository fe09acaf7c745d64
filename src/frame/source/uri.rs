//! What the text of an input means: one grammar for cameras, streams, files and pipes.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use crate::frame::FrameError;

/// Endings of the video files that are read through ffmpeg.
const VIDEOS: [&str; 18] = [
    "mp4", "m4v", "mkv", "avi", "mov", "webm", "mpg", "mpeg", "ts", "m2ts", "mts", "wmv", "flv",
    "3gp", "ogv", "h264", "h265", "hevc",
];

/// What can be given.
const EXISTS: &str = "there are v4l2:///dev/video0 (or /dev/video0), rpicam://0, csi://0, rtsp://, \
                      rtsps://, http:// and https:// addresses, file:// or plain paths of videos, \
                      pictures, folders and patterns, - for standard input, and demo";

/// An input.
///
/// Its `Display` is what may be shown and logged: passwords are not in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Uri {
    /// `demo`: the bundled photographs.
    Demo,
    /// `-`: standard input.
    Stdin,
    /// A picture, a folder, a pattern, a stream's file or a pipe.
    Path(String),
    /// A video file, read through ffmpeg.
    Video(String),
    /// `v4l2:///dev/video0` or `/dev/video0`: a camera that Linux knows; the device's path.
    V4l2(String),
    /// `rpicam://0`: a Raspberry Pi's camera, by its number.
    Rpicam(u8),
    /// `csi://0`: a Jetson's camera, by its number.
    Csi(u8),
    /// `rtsp://...`, `rtsps://...`, `http://...`, `https://...`, read through ffmpeg.
    Network(Address),
}

impl Uri {
    /// Whether frames come at the speed of the world and without an end: a camera.
    #[must_use]
    pub fn is_live(&self) -> bool {
        match self {
            Self::V4l2(_) | Self::Rpicam(_) | Self::Csi(_) => true,
            Self::Network(address) => !address.is_file(),
            Self::Demo | Self::Stdin | Self::Path(_) | Self::Video(_) => false,
        }
    }

    fn of_path(path: &str) -> Self {
        if path.starts_with("/dev/video") || path.starts_with("/dev/v4l/") {
            Self::V4l2(path.into())
        } else if is_video(path) {
            Self::Video(path.into())
        } else {
            Self::Path(path.into())
        }
    }
}

fn is_video(path: &str) -> bool {
    let extension = Path::new(path).extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|it| VIDEOS.iter().any(|known| it.eq_ignore_ascii_case(known)))
}

impl FromStr for Uri {
    type Err = FrameError;

    fn from_str(text: &str) -> Result<Self, FrameError> {
        match text {
            "demo" => return Ok(Self::Demo),
            "-" => return Ok(Self::Stdin),
            _ => {}
        }
        let Some((scheme, rest)) = text.split_once("://") else { return Ok(Self::of_path(text)) };
        let refuse = |reason: String, remedy: &'static str| {
            Err(FrameError::Option { name: masked(text), reason, remedy })
        };
        let number = || if rest.is_empty() { Ok(0) } else { rest.parse::<u8>() };
        match scheme.to_ascii_lowercase().as_str() {
            "v4l2" if rest.starts_with('/') => Ok(Self::V4l2(rest.into())),
            "v4l2" => refuse(
                "this is no device's path".into(),
                "write v4l2:///dev/video0, with three slashes; `tipcam cameras` lists what is there",
            ),
            scheme @ ("rpicam" | "csi") => match number() {
                Ok(number) if scheme == "csi" => Ok(Self::Csi(number)),
                Ok(number) => Ok(Self::Rpicam(number)),
                Err(_) => refuse(
                    "a camera has a number".into(),
                    "write rpicam://0 or csi://0; `tipcam cameras` lists what is there",
                ),
            },
            "rtsp" | "rtsps" | "http" | "https" if !rest.is_empty() => {
                Ok(Self::Network(Address { url: text.into(), shown: masked(text) }))
            }
            "file" => match rest.strip_prefix("localhost").unwrap_or(rest) {
                path if path.starts_with('/') => match decoded(path) {
                    Some(path) => Ok(Self::of_path(&path)),
                    None => refuse(
                        "a % is not followed by two digits of a character".into(),
                        "write %25 for a % sign, or give the plain path",
                    ),
                },
                _ => refuse(
                    "only files of this machine can be read".into(),
                    "write file:///path/to/file, with three slashes, or the plain path",
                ),
            },
            _ => refuse(format!("there is no kind of input `{scheme}://`"), EXISTS),
        }
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Demo => f.write_str("demo"),
            Self::Stdin => f.write_str("-"),
            Self::Path(path) | Self::Video(path) | Self::V4l2(path) => f.write_str(path),
            Self::Rpicam(number) => write!(f, "rpicam://{number}"),
            Self::Csi(number) => write!(f, "csi://{number}"),
            Self::Network(address) => f.write_str(&address.shown),
        }
    }
}

/// The address of a stream. What may be shown of it has no passwords.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    url: String,
    shown: String,
}

impl Address {
    /// The whole address, to be handed to the program that opens it and to nobody else.
    #[cfg(all(feature = "camera", target_os = "linux"))]
    pub(super) fn secret(&self) -> &str {
        &self.url
    }

    /// Whether it is a recording, which ends.
    fn is_file(&self) -> bool {
        let path = self.url.split(['?', '#']).next().unwrap_or_default();
        self.url.to_ascii_lowercase().starts_with("http") && is_video(path)
    }

    /// `text` without what this address keeps secret.
    #[cfg(all(feature = "camera", target_os = "linux"))]
    pub(super) fn clean(&self, text: &str) -> String {
        let mut clean = text.replace(&self.url, &self.shown);
        for secret in secrets(&self.url) {
            clean = clean.replace(secret, HIDDEN);
        }
        clean
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Address").field(&self.shown).finish()
    }
}

/// What stands in place of a secret.
const HIDDEN: &str = "***";

/// Where a value ends that follows a `=`.
const VALUE_ENDS: [char; 6] = ['&', ';', '/', '?', '#', '='];

/// User and password before the host. A password may itself have `/` and `@` in it, so the last `@`
/// counts: better to hide too much.
fn login(url: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let (login, _) = rest.rsplit_once('@')?;
    Some((scheme, login))
}

/// The parts of an address that nobody else may see: the password, and the values of what looks
/// like `name=value` (many cameras take the password there).
#[cfg(all(feature = "camera", target_os = "linux"))]
fn secrets(url: &str) -> impl Iterator<Item = &str> {
    let password = login(url).map(|(_, login)| login.split_once(':').map_or(login, |pair| pair.1));
    let values = url.split('=').skip(1).map(|rest| rest.split(VALUE_ENDS).next().unwrap_or(""));
    password.into_iter().chain(values).filter(|secret| !secret.is_empty())
}

/// The address with its secrets hidden: `rtsp://user:***@host/path`.
fn masked(url: &str) -> String {
    let mut shown = String::with_capacity(url.len());
    let mut rest = url;
    if let Some((scheme, login)) = login(url) {
        shown.push_str(scheme);
        shown.push_str("://");
        if let Some((user, _)) = login.split_once(':') {
            shown.push_str(user);
            shown.push(':');
        }
        shown.push_str(HIDDEN);
        rest = &url[scheme.len() + 3 + login.len()..];
    }
    let mut parts = rest.split('=');
    shown.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let end = part.find(VALUE_ENDS).unwrap_or(part.len());
        shown.push('=');
        shown.push_str(if end == 0 { "" } else { HIDDEN });
        shown.push_str(&part[end..]);
    }
    shown
}

/// A path with its `%20` and the like put back; `None` for a broken one.
fn decoded(path: &str) -> Option<String> {
    let mut parts = path.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Uri {
        text.parse().unwrap()
    }

    #[test]
    fn each_kind_of_input_is_told_by_its_text() {
        assert_eq!(parse("demo"), Uri::Demo);
        assert_eq!(parse("-"), Uri::Stdin);
        for text in
            ["v4l2:///dev/video2", "/dev/video2", "file:///dev/video2", "V4L2:///dev/video2"]
        {
            assert_eq!(parse(text), Uri::V4l2("/dev/video2".into()), "{text}");
        }
        let link = "/dev/v4l/by-id/usb-Cam-index0";
        assert_eq!(parse(link), Uri::V4l2(link.into()));
        assert_eq!((parse("rpicam://1"), parse("rpicam://")), (Uri::Rpicam(1), Uri::Rpicam(0)));
        assert_eq!(parse("csi://0"), Uri::Csi(0));
        for text in ["a.mp4", "b/c.MKV", "x.webm", "file://localhost/v/a.mov"] {
            assert!(matches!(parse(text), Uri::Video(_)), "{text}");
        }
        assert_eq!(parse("file:///a%20b/%C3%BC.jpg"), Uri::Path("/a b/ü.jpg".into()));
        for text in ["a.jpg", "folder/", "*.png", "a.y4m", "clip.mjpeg", "demo/", ""] {
            assert_eq!(parse(text), Uri::Path(text.into()));
        }
        for text in ["rtsp://host/live", "rtsps://host", "http://host/mjpg", "https://host/a.m3u8"]
        {
            assert!(matches!(parse(text), Uri::Network(_)) && parse(text).is_live(), "{text}");
        }
        assert!(!parse("https://host/clip.mp4?sig=1").is_live());
        assert!(!parse("a.mp4").is_live() && parse("/dev/video0").is_live());
    }

    #[test]
    fn what_is_not_understood_is_told_what_exists() {
        for (text, part) in [
            ("ftp://host/a.mp4", "rpicam://0"),
            ("://", "no kind of input"),
            ("rtsp://", "rtsp://"),
            ("v4l2://video0", "three slashes"),
            ("v4l2://", "tipcam cameras"),
            ("csi://front", "a number"),
            ("rpicam://-1", "a number"),
            ("rpicam://300", "a number"),
            ("file://elsewhere/a.jpg", "this machine"),
            ("file:///50%", "%25"),
            ("file:///%zz", "%25"),
            ("file:///%ff", "%25"),
            ("file:///%é", "%25"),
        ] {
            let error = text.parse::<Uri>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn passwords_are_never_shown() {
        for (text, shown) in [
            ("rtsp://user:s3cret@cam:554/live", "rtsp://user:***@cam:554/live"),
            ("rtsp://user:s3cret@x/s3cret@cam/live", "rtsp://user:***@cam/live"),
            ("rtsp://s3cret@cam/live", "rtsp://***@cam/live"),
            ("rtsp://cam/user=s3cret&password=s3cret&n=", "rtsp://cam/user=***&password=***&n="),
            ("http://cam/a.cgi?pwd=s3cret#x=s3cret", "http://cam/a.cgi?pwd=***#x=***"),
            ("http://u:s3cret@cam/a?token=s3cret==", "http://u:***@cam/a?token=***=="),
            ("rtsp://cam/live", "rtsp://cam/live"),
        ] {
            let uri = parse(text);
            assert_eq!(uri.to_string(), shown);
            assert!(!format!("{uri:?}").contains("s3cret"));
        }
        let error = "ftp://user:s3cret@host".parse::<Uri>().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("s3cret"));
    }

    #[test]
    #[cfg(all(feature = "camera", target_os = "linux"))]
    fn a_program_that_repeats_the_address_is_cleaned() {
        let Uri::Network(address) = parse("rtsp://user:s3cret@cam/live?token=abc") else {
            panic!()
        };
        let said = "rtsp://user:s3cret@cam/live?token=abc: refused (s3cret, abc)";
        assert_eq!(address.clean(said), "rtsp://user:***@cam/live?token=***: refused (***, ***)");
    }
}
