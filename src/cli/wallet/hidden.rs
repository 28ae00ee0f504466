//! Reading a secret that must not be seen: without echo from a terminal, plainly from a pipe.

use std::io::{self, BufRead, IsTerminal};

use crate::{cli::Failure, secret::Secret};

/// More than any connection string is long.
const LONGEST: u64 = 16 << 10;

/// Reads one line. Ctrl-C ends the command and leaves the terminal as it was.
pub(super) async fn read_line(prompt: &str) -> Result<Secret, Failure> {
    let terminal = io::stdin().is_terminal();
    let _quiet = if terminal {
        // Standard error: standard output may go to a file.
        eprint!("{prompt}");
        Some(Quiet::new()?)
    } else {
        None
    };
    let reading = tokio::task::spawn_blocking(|| {
        let mut line = zeroize::Zeroizing::new(String::with_capacity(4096));
        io::Read::take(io::stdin().lock(), LONGEST).read_line(&mut line).map(|_| Secret::new(line.trim()))
    });
    let line = tokio::select! {
        line = reading => line,
        _ = tokio::signal::ctrl_c() => return Err(Failure { say: "nothing was changed".into(), code: 130 }),
    };
    if terminal {
        eprintln!();
    }
    match line {
        Ok(Ok(line)) => Ok(line),
        // The error could quote what it did not understand.
        _ => Err(Failure::new("the line could not be read as text; nothing was changed")),
    }
}

/// A terminal that does not show what is typed, until it goes.
struct Quiet {
    #[cfg(unix)]
    before: rustix::termios::Termios,
}

#[cfg(unix)]
impl Quiet {
    fn new() -> Result<Quiet, Failure> {
        use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
        let cannot = |e: rustix::io::Errno| Failure::new(format!("the terminal cannot be silenced ({e}); use a pipe"));
        let before = tcgetattr(io::stdin()).map_err(cannot)?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &quiet).map_err(cannot)?;
        Ok(Quiet { before })
    }
}

#[cfg(unix)]
impl Drop for Quiet {
    fn drop(&mut self) {
        use rustix::termios::{OptionalActions, tcsetattr};
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

#[cfg(not(unix))]
impl Quiet {
    fn new() -> Result<Quiet, Failure> {
        Err(Failure::new("this terminal cannot be silenced; give the string through a pipe"))
    }
}
