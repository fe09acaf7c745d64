use std::io::{self, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::{Call, STOP};
use crate::publish::tell::Trouble;

/// How often a running command is looked after.
const LOOK: Duration = Duration::from_millis(20);

/// Runs one command after another.
pub(super) struct Run {
    command: String,
    limit: Duration,
    trouble: Trouble,
    /// Since when the watch stops.
    stopping: Option<Instant>,
}

/// What became of a command.
enum Outcome {
    Ended(ExitStatus),
    TookTooLong,
}

impl Run {
    pub(super) fn new(command: String, limit: Duration, trouble: Trouble) -> Self {
        Self { command, limit, trouble, stopping: None }
    }

    /// Runs the command and waits for its end, or kills it: at its time limit, or a short while after
    /// the watch stops.
    pub(super) fn one(&mut self, call: Call, stops: impl Fn() -> bool) {
        let what = match self.run(call, stops) {
            Ok(Outcome::Ended(status)) if status.success() => {
                self.trouble.over("exec: the command works again");
                return;
            }
            Ok(Outcome::Ended(status)) => format!("it failed ({status})"),
            Ok(Outcome::TookTooLong) => {
                format!("it took longer than {} s and was killed", self.limit.as_secs())
            }
            Err(error) => format!("it could not be run ({error})"),
        };
        self.trouble.told(Instant::now(), &format!("exec {:?}: {what}", self.command));
    }

    fn run(&mut self, call: Call, stops: impl Fn() -> bool) -> io::Result<Outcome> {
        let mut command = Command::new("sh");
        command.arg("-c").arg(&self.command).envs(call.environment());
        // stdout is the answers': what the command says goes where complaints go
        command.stdin(Stdio::piped()).stdout(io::stderr());
        own_group(&mut command);
        let mut child = command.spawn()?;
        if let Some(input) = child.stdin.take() {
            feed(input, call.line);
        }
        let begun = Instant::now();
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(Outcome::Ended(status));
            }
            if self.stopping.is_none() && stops() {
                self.stopping = Some(Instant::now());
            }
            // a little less than what is waited for this thread
            let late = self.stopping.is_some_and(|since| since.elapsed() > STOP - LOOK * 5);
            if late || begun.elapsed() >= self.limit {
                kill(&mut child);
                child.wait()?;
                return Ok(Outcome::TookTooLong);
            }
            thread::sleep(LOOK);
        }
    }
}

/// Gives the command its line. It need not read it, and a pipe may be shorter than a line: so a thread
/// waits for it, which ends with the command.
fn feed(mut input: ChildStdin, line: String) {
    let write = move || {
        let _ = input.write_all(line.as_bytes());
    };
    // without a thread it gets no line: its values are in the environment, too
    let _ = thread::Builder::new().name("exec-input".to_owned()).spawn(write);
}

/// The command and what it starts can be killed together.
#[cfg(unix)]
fn own_group(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    command.process_group(0);
}

#[cfg(not(unix))]
fn own_group(_: &mut Command) {}

/// An error says that it is already gone.
#[cfg(unix)]
fn kill(child: &mut Child) {
    use rustix::process::{Pid, Signal, kill_process_group};
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let _ = pid.map(|pid| kill_process_group(pid, Signal::KILL));
}

#[cfg(not(unix))]
fn kill(child: &mut Child) {
    let _ = child.kill();
}
