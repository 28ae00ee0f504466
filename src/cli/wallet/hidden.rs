//! Reading a secret that must not be seen: without echo from a terminal, plainly from a pipe.

use std::io::{self, BufRead, IsTerminal};

use crate::{cli::Failure, secret::Secret};

/// More than any connection string is long.
const LONGEST: u64 = 16 << 10;

/// Reads one line. Ctrl-C ends the command and leaves the terminal as it was.
pub(super) async fn read_line(prompt: &str) -> Result<Secret, Failure> {
    let mut quiet = if io::stdin().is_terminal() { Some(Quiet::new()?) } else { None };
    if quiet.is_some() {
        // Standard error: standard output may go to a file.
        eprint!("{prompt}");
    }
    let reading = tokio::task::spawn_blocking(|| {
        let mut line = zeroize::Zeroizing::new(String::with_capacity(4096));
        io::Read::take(io::stdin().lock(), LONGEST).read_line(&mut line).map(|_| Secret::new(line.trim()))
    });
    let line = match &mut quiet {
        Some(quiet) => tokio::select! {
            line = reading => line,
            () = quiet.broken_off() => return Err(Failure { say: "nothing was changed".into(), code: 130 }),
        },
        None => reading.await,
    };
    if quiet.is_some() {
        eprintln!();
    }
    match line {
        Ok(Ok(line)) => Ok(line),
        // The error could quote what it did not understand.
        _ => Err(Failure::new("the line could not be read as text; nothing was changed")),
    }
}

/// A terminal that does not show what is typed, until it goes. A signal must not end the process meanwhile: the shell
/// would be left silent.
#[cfg(unix)]
struct Quiet {
    before: rustix::termios::Termios,
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Quiet {
    fn new() -> Result<Quiet, Failure> {
        use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
        use tokio::signal::unix::{SignalKind, signal};
        let (interrupt, terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let cannot = |e: rustix::io::Errno| Failure::new(format!("the terminal cannot be silenced ({e}); use a pipe"));
        let before = tcgetattr(io::stdin()).map_err(cannot)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent).map_err(cannot)?;
        Ok(Quiet { before, interrupt, terminate })
    }

    /// Waits until somebody breaks off.
    async fn broken_off(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(unix)]
impl Drop for Quiet {
    fn drop(&mut self) {
        use rustix::termios::{OptionalActions, tcsetattr};
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

/// A terminal that cannot be silenced.
#[cfg(not(unix))]
struct Quiet;

#[cfg(not(unix))]
impl Quiet {
    fn new() -> Result<Quiet, Failure> {
        Err(Failure::new("this terminal cannot be silenced; give the string through a pipe"))
    }

    async fn broken_off(&mut self) {
        std::future::pending().await
    }
}
