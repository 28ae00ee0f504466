//! Parses the command line and runs one command; all else is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    bursar::cli::main()
}
