use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use super::super::FrameError;

/// A stream of bytes with a name, a look ahead, and a beginning to go back to.
///
/// The buffer is this type's own because JPEG frames are found and decoded in place: it grows to
/// the longest frame and no further.
pub(super) struct Input {
    name: Arc<str>,
    from: Box<dyn Read + Send>,
    /// Whether it is a file, of which the frames do not come by themselves.
    recording: bool,
    /// The same file, to go back to the beginning; only for a looped source.
    rewind: Option<File>,
    buffer: Vec<u8>,
    start: usize,
    end: bool,
}

const CHUNK: usize = 1 << 16;

impl Input {
    /// Opens a file or a pipe, `-` for standard input.
    pub(super) fn open(name: &str, looped: bool) -> Result<Self, FrameError> {
        let fail = |error| FrameError::read(name, error);
        if name == "-" {
            return if looped { Err(once(name)) } else { Ok(Self::new(name, io::stdin())) };
        }
        let file = File::open(name).map_err(fail)?;
        let recording = file.metadata().map_err(fail)?.is_file();
        if looped && !recording {
            return Err(once(name));
        }
        let rewind = looped.then(|| file.try_clone().map_err(fail)).transpose()?;
        Ok(Self { recording, rewind, ..Self::new(name, file) })
    }

    /// Reads from anything; cannot be looped.
    pub(super) fn new(name: &str, from: impl Read + Send + 'static) -> Self {
        Self {
            name: name.into(),
            from: Box::new(from),
            recording: false,
            rewind: None,
            buffer: Vec::new(),
            start: 0,
            end: false,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn shared_name(&self) -> Arc<str> {
        self.name.clone()
    }

    pub(super) fn is_recording(&self) -> bool {
        self.recording
    }

    /// Goes back to the beginning; `false` where the source is not looped.
    pub(super) fn rewind(&mut self) -> Result<bool, FrameError> {
        let Some(file) = &mut self.rewind else { return Ok(false) };
        file.seek(SeekFrom::Start(0)).map_err(|error| FrameError::read(&self.name, error))?;
        self.buffer.clear();
        (self.start, self.end) = (0, false);
        Ok(true)
    }

    /// What has been read and not yet taken.
    pub(super) fn buffered(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// Reads some more; `false` at the end.
    pub(super) fn fill(&mut self) -> Result<bool, FrameError> {
        if self.end {
            return Ok(false);
        }
        self.buffer.drain(..self.start);
        self.start = 0;
        let len = self.buffer.len();
        self.buffer.resize(len + CHUNK, 0);
        let read = loop {
            match self.from.read(&mut self.buffer[len..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.buffer.truncate(len + *read.as_ref().unwrap_or(&0));
        let read = read.map_err(|error| FrameError::read(&self.name, error))?;
        self.end = read == 0;
        Ok(!self.end)
    }

    /// The next `count` bytes without taking them; fewer at the end.
    pub(super) fn peek(&mut self, count: usize) -> Result<&[u8], FrameError> {
        while self.buffered().len() < count && self.fill()? {}
        let have = self.buffered().len().min(count);
        Ok(&self.buffered()[..have])
    }

    /// Drops bytes that have been seen.
    pub(super) fn take(&mut self, count: usize) {
        self.start = (self.start + count).min(self.buffer.len());
    }

    /// Fills `into` from the stream, first with what is buffered; says how much there was.
    pub(super) fn read_into(&mut self, into: &mut [u8]) -> Result<usize, FrameError> {
        let mut have = self.buffered().len().min(into.len());
        into[..have].copy_from_slice(&self.buffered()[..have]);
        self.take(have);
        while have < into.len() && !self.end {
            match self.from.read(&mut into[have..]) {
                Ok(0) => self.end = true,
                Ok(read) => have += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(FrameError::read(&self.name, error)),
            }
        }
        Ok(have)
    }
}

impl Read for Input {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.read_into(into).map_err(io::Error::other)
    }
}

fn once(name: &str) -> FrameError {
    FrameError::Option {
        name: name.into(),
        reason: "a pipe can be read only once".into(),
        remedy: "leave out --loop, or save the stream to a file first",
    }
}
