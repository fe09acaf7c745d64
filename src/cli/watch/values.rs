//! What the values of options look like.

use std::fmt;

use crate::frame::Pace;

pub(super) fn parse_size(text: &str) -> Result<(u32, u32), Invalid> {
    let invalid = Invalid("write width and height as 640x480");
    let (width, height) = text.split_once(['x', 'X']).ok_or(invalid)?;
    match (width.parse(), height.parse()) {
        (Ok(width @ 1..), Ok(height @ 1..)) => Ok((width, height)),
        _ => Err(invalid),
    }
}

pub(super) fn parse_rate(text: &str) -> Result<f64, Invalid> {
    let rate = text.parse().ok().filter(|&rate| Pace::new(rate).is_some());
    rate.ok_or(Invalid("write frames a second, above 0 and at most 1000"))
}

pub(super) fn parse_seconds(text: &str) -> Result<f64, Invalid> {
    let seconds = text.parse().ok().filter(|seconds| (0.0..=3600.0).contains(seconds));
    seconds.ok_or(Invalid("write seconds from 0 to 3600"))
}

pub(super) fn parse_share(text: &str) -> Result<f32, Invalid> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or(Invalid("write a probability from 0 to 1"))
}

pub(super) fn parse_celsius(text: &str) -> Result<f32, Invalid> {
    let celsius = text.parse().ok().filter(|celsius| (20.0..=150.0).contains(celsius));
    celsius.ok_or(Invalid("write degrees Celsius from 20 to 150"))
}

pub(super) fn parse_cosine(text: &str) -> Result<f32, Invalid> {
    let cosine = text.parse().ok().filter(|cosine| (-1.0..=1.0).contains(cosine));
    cosine.ok_or(Invalid("write a cosine from -1 to 1"))
}

/// `mug=0.8`.
pub(super) fn parse_class_share(text: &str) -> Result<(String, f32), Invalid> {
    let invalid = Invalid("write the class and a probability from 0 to 1, as mug=0.8");
    let (class, share) = text.rsplit_once('=').ok_or(invalid)?;
    let class = class.trim();
    if class.is_empty() {
        return Err(invalid);
    }
    Ok((class.to_owned(), parse_share(share.trim()).map_err(|_| invalid)?))
}

/// What to write instead of an option's value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Invalid(pub(super) &'static str);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Invalid {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn option_values_are_checked() {
        assert_eq!(parse_size("640x480").unwrap(), (640, 480));
        for bad in ["640", "0x480", "640x", "x", "-1x5", "640x480x3"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
        assert!(
            parse_rate("0").is_err() && parse_rate("nan").is_err() && parse_rate("2.5").is_ok()
        );
        assert!(parse_seconds("-1").is_err() && parse_seconds("inf").is_err());
        assert!(parse_share("1.1").is_err() && parse_share("0.5").is_ok());
        assert!(parse_celsius("80").is_ok() && parse_celsius("nan").is_err());
        assert!(parse_cosine("-1").is_ok() && parse_cosine("-2").is_err());
        assert_eq!(parse_class_share("a=b=0.5").unwrap(), ("a=b".to_owned(), 0.5));
        for bad in ["mug", "mug=", "=0.5", "mug=2"] {
            assert!(parse_class_share(bad).is_err(), "{bad}");
        }
    }
}
