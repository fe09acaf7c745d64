use std::io;

/// Why a picture or a stream could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// A file, a folder or a pipe could not be read.
    #[error("{name}: cannot be read ({error}); check that the path is right and may be read")]
    Read {
        /// The path, or `-`.
        name: String,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// The bytes are damaged, cut off, or not a picture.
    #[error("{name}: {reason}; the file is damaged or not what its name says, save it again")]
    Damaged {
        /// The path, or the stream's name.
        name: String,
        /// What was found.
        reason: String,
    },
    /// A kind of picture or stream that this program does not read.
    #[error("{name}: {reason} is not supported; {remedy}")]
    Unsupported {
        /// The path, or the stream's name.
        name: String,
        /// What was found.
        reason: String,
        /// What to do instead.
        remedy: &'static str,
    },
    /// Bigger than a limit of this program.
    #[error("{name}: {what} of {found} is above the limit {limit_name} = {limit}; make it smaller")]
    TooBig {
        /// The path, or the stream's name.
        name: String,
        /// What was measured, with its unit.
        what: &'static str,
        /// How much there is.
        found: u64,
        /// The limit's name, see [`super::limits`].
        limit_name: &'static str,
        /// The limit.
        limit: u64,
    },
    /// A path, a folder or a pattern without a single picture.
    #[error(
        "{name}: no picture there; give a picture, a folder or a pattern of files that end in \
         jpg, jpeg, png, webp, bmp, tif, tiff, gif, ppm, pgm, pbm or pnm"
    )]
    Nothing {
        /// What was searched.
        name: String,
    },
    /// An option is missing or does not fit the source.
    #[error("{name}: {reason}; {remedy}")]
    Option {
        /// The path, or the stream's name.
        name: String,
        /// What is wrong.
        reason: String,
        /// Which option to give.
        remedy: &'static str,
    },
    /// A program that has to be started for this input is not on this machine.
    #[error("{name}: the program {program} is not installed; {remedy}")]
    Program {
        /// The input.
        name: String,
        /// The program.
        program: &'static str,
        /// How to install it.
        remedy: &'static str,
    },
    /// A program that was started for this input has ended.
    #[error("{name}: {program} has ended: {reason}")]
    Ended {
        /// The input.
        name: String,
        /// The program.
        program: &'static str,
        /// The last line of its messages, or how it ended.
        reason: String,
    },
    /// A camera is not there, or gives nothing.
    #[error("{name}: {reason}; waiting for the camera to come back")]
    Lost {
        /// The camera.
        name: String,
        /// What happened.
        reason: String,
    },
}

impl FrameError {
    pub(crate) fn read(name: &str, error: io::Error) -> Self {
        Self::Read { name: name.into(), error }
    }

    pub(crate) fn damaged(name: &str, reason: impl Into<String>) -> Self {
        Self::Damaged { name: name.into(), reason: reason.into() }
    }

    #[cfg(all(feature = "camera", target_os = "linux"))]
    pub(crate) fn lost(name: &str, reason: impl Into<String>) -> Self {
        Self::Lost { name: name.into(), reason: reason.into() }
    }

    /// Whether opening the same input again may help: the camera or the way to it failed, not one
    /// frame, and not what was asked for.
    #[cfg(all(feature = "camera", target_os = "linux"))]
    pub(crate) fn is_loss(&self) -> bool {
        matches!(self, Self::Read { .. } | Self::Ended { .. } | Self::Lost { .. })
    }

    /// Says in which frame of a stream it was.
    pub(crate) fn in_frame(mut self, number: u64) -> Self {
        let (Self::Read { name, .. }
        | Self::Damaged { name, .. }
        | Self::Unsupported { name, .. }
        | Self::TooBig { name, .. }
        | Self::Nothing { name }
        | Self::Option { name, .. }
        | Self::Program { name, .. }
        | Self::Ended { name, .. }
        | Self::Lost { name, .. }) = &mut self;
        name.push_str(&format!(", frame {number}"));
        self
    }
}
