//! Frames from a program that is started for them.
//!
//! The program ends with its source: it is killed and waited for. A source that is left alone at the
//! end of the process, because it waits for a frame, is ended by [`end_programs`]. Should this process
//! be killed itself, the program ends at its next frame, because nobody reads its pipe any more.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use super::super::raw::Raw;
use super::super::reader::Input;
use super::super::uri::Address;
use super::super::y4m::Y4m;
use super::super::{Source, Stamp};
use super::programs::{Hints, Output, Plan};
use super::wait::wait;
use crate::frame::{Frame, FrameError};

/// How long a program whose output has ended may take to end itself.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// So much of its messages is kept: the last line is wanted.
const MESSAGES: usize = 4096;

/// A running program's frames.
pub(super) struct Spawned {
    helper: Helper,
    frames: Frames,
    live: bool,
    ended: bool,
}

enum Frames {
    Y4m(Y4m),
    Raw(Raw),
}

/// A program that runs until this is dropped.
struct Helper {
    name: String,
    program: &'static str,
    child: Arc<Mutex<Child>>,
    hints: Hints,
    messages: Arc<Mutex<Vec<u8>>>,
    said_all: Receiver<()>,
    silence: Duration,
    secret: Option<Address>,
}

/// The programs that run, and whether no more may be started.
struct Running {
    programs: Vec<Weak<Mutex<Child>>>,
    over: bool,
}

static RUNNING: Mutex<Running> = Mutex::new(Running { programs: Vec::new(), over: false });

/// Ends all programs that were started for inputs, and starts no more: for the end of the process.
/// Whoever waits for a frame of theirs gets an error.
pub(in crate::frame::source) fn end_programs() {
    let mut running = locked(&RUNNING);
    running.over = true;
    for program in running.programs.drain(..).filter_map(|program| program.upgrade()) {
        // one that has ended already cannot be killed: that is as good
        let _ = locked(&program).kill();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a program, unless the process is about to end.
fn start(command: &mut Command) -> io::Result<Arc<Mutex<Child>>> {
    let mut running = locked(&RUNNING);
    if running.over {
        return Err(io::Error::other("everything is about to end"));
    }
    running.programs.retain(|program| program.strong_count() > 0);
    let child = Arc::new(Mutex::new(command.spawn()?));
    running.programs.push(Arc::downgrade(&child));
    Ok(child)
}

impl Spawned {
    pub(super) fn open(name: &str, plan: Plan, search: &OsStr) -> Result<Self, FrameError> {
        let Plan { programs, remedy, hints, args, output, live, silence, secret } = plan;
        let found = programs.iter().find_map(|program| Some((*program, find(program, search)?)));
        let Some((program, path)) = found else {
            return Err(FrameError::Program { name: name.into(), program: programs[0], remedy });
        };
        let mut command = Command::new(path);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // a Ctrl-C is for this process, which ends the other in order
        command.process_group(0);
        let fail = |error| FrameError::lost(name, format!("{program} cannot be started ({error})"));
        let child = start(&mut command).map_err(fail)?;
        let (stdout, stderr) = {
            let mut child = locked(&child);
            (child.stdout.take(), child.stderr.take())
        };
        let (sender, said_all) = channel();
        let messages = Arc::default();
        let mut helper = Helper {
            name: name.into(),
            program,
            child,
            hints,
            messages,
            said_all,
            silence,
            secret,
        };
        let (Some(stdout), Some(stderr)) = (stdout, stderr) else {
            return Err(helper.ended("it has no output"));
        };
        let kept = Arc::clone(&helper.messages);
        let listen = move || {
            keep_last(stderr, &kept);
            // whoever waited may be gone
            let _ = sender.send(());
        };
        thread::Builder::new().name(program.into()).spawn(listen).map_err(fail)?;
        let input = Input::new(name, Pipe { from: stdout, silence });
        let frames = match output {
            Output::Raw(layout) => Frames::Raw(Raw::new(input, layout)),
            Output::Y4m => Frames::Y4m(Y4m::open(input).map_err(|error| helper.cause(error))?),
        };
        Ok(Self { helper, frames, live, ended: false })
    }
}

impl Source for Spawned {
    fn next(&mut self, into: &mut Frame) -> Result<Option<Stamp>, FrameError> {
        if self.ended {
            return Ok(None);
        }
        let next = match &mut self.frames {
            Frames::Y4m(frames) => frames.next(into),
            Frames::Raw(frames) => frames.next(into),
        };
        self.ended = !matches!(next, Ok(Some(_)));
        match next {
            Ok(None) if self.helper.succeeded() => Ok(None),
            Ok(None) => Err(self.helper.ended("it gave no reason")),
            Err(error) => Err(self.helper.cause(error)),
            stamp => stamp,
        }
    }

    fn is_live(&self) -> bool {
        self.live
    }

    fn rate(&self) -> Option<f64> {
        match &self.frames {
            Frames::Y4m(frames) if !self.live => frames.header_rate(),
            _ => None,
        }
    }
}

impl Helper {
    /// How the program ended; it is given a moment for that.
    fn status(&mut self) -> Option<ExitStatus> {
        let end = Instant::now() + LAST_WORDS;
        loop {
            match locked(&self.child).try_wait() {
                Ok(None) if Instant::now() < end => thread::sleep(Duration::from_millis(5)),
                Ok(status) => return status,
                Err(_) => return None,
            }
        }
    }

    fn succeeded(&mut self) -> bool {
        self.status().is_some_and(|status| status.success())
    }

    /// Why a frame could not be had: what the program said before it ended, or else `error`.
    fn cause(&mut self, error: FrameError) -> FrameError {
        match &error {
            // It still runs and only says nothing.
            FrameError::Read { error: silent, .. } if silent.kind() == io::ErrorKind::TimedOut => {
                let said =
                    self.last_line(Duration::ZERO).map_or(String::new(), |s| format!(" ({s})"));
                let reason = format!("{} gave nothing for {:?}{said}", self.program, self.silence);
                FrameError::lost(&self.name, reason)
            }
            FrameError::Damaged { reason, .. } if self.status().is_some() => {
                let reason = reason.clone();
                self.ended(&reason)
            }
            _ => error,
        }
    }

    /// The error of a program that has ended, with its last words or else `reason`, and what helps.
    fn ended(&mut self, reason: &str) -> FrameError {
        let status = self.status();
        let mut reason = self.last_line(LAST_WORDS).unwrap_or_else(|| match status {
            Some(status) if !status.success() => match (status.code(), status.signal()) {
                (Some(code), _) => format!("exit code {code}"),
                (None, Some(signal)) => format!("signal {signal}"),
                (None, None) => reason.into(),
            },
            _ => reason.into(),
        });
        let messages = self.messages();
        if let Some((_, remedy)) = self.hints.iter().find(|(words, _)| messages.contains(words)) {
            reason = format!("{reason}; {remedy}");
        }
        FrameError::Ended { name: self.name.clone(), program: self.program, reason }
    }

    /// What it said last, in whole lines.
    fn messages(&self) -> String {
        let messages = locked(&self.messages);
        // A line that has lost its beginning may have kept half a password.
        let whole = match messages.iter().position(|&byte| byte == b'\n') {
            _ if messages.len() < MESSAGES => 0,
            Some(end) => end,
            None => messages.len(),
        };
        String::from_utf8_lossy(&messages[whole..]).into_owned()
    }

    /// The last line of its messages that says something, without secrets. Their end is waited for,
    /// but not for ever: programs that it has left behind may hold it open.
    fn last_line(&self, longest: Duration) -> Option<String> {
        let _ = self.said_all.recv_timeout(longest);
        let text = self.messages();
        let mut lines = text.lines().rev().map(bare).filter(|line| !line.is_empty());
        let last = lines.next()?;
        // what it was about stands before it
        let line =
            if last.ends_with("Input/output error") { lines.next().unwrap_or(last) } else { last };
        Some(self.secret.as_ref().map_or_else(|| line.into(), |secret| secret.clean(line)))
    }
}

/// A line of ffmpeg's without the part that spoke, `[tcp @ 0x55d0c8]`: it is another at each attempt.
fn bare(line: &str) -> &str {
    let line = line.trim();
    let of_a_part = line.strip_prefix('[').and_then(|rest| rest.split_once("] "));
    match of_a_part {
        Some((part, said)) if part.contains(" @ ") => said.trim(),
        _ => line,
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // one that has ended already cannot be killed: that is as good
        let mut child = locked(&self.child);
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Reads to the end and keeps the last of it.
fn keep_last(mut from: ChildStderr, messages: &Mutex<Vec<u8>>) {
    let mut chunk = [0; MESSAGES];
    loop {
        match from.read(&mut chunk) {
            Ok(0) => return,
            Ok(read) => {
                let mut kept = locked(messages);
                kept.extend_from_slice(&chunk[..read]);
                let old = kept.len().saturating_sub(MESSAGES);
                kept.drain(..old);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// A program's output, of which one does not wait for ever.
struct Pipe {
    from: ChildStdout,
    silence: Duration,
}

impl Read for Pipe {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if wait(&self.from, self.silence)?.is_empty() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.from.read(into)
    }
}

/// Where a program lies, in the folders of `search`.
pub(super) fn find(program: &str, search: &OsStr) -> Option<PathBuf> {
    std::env::split_paths(search).map(|folder| folder.join(program)).find(|path| {
        path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    })
}
