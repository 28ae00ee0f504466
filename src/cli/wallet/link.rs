//! A link as a square that a phone's camera reads.

use std::io::{self, IsTerminal};

use qrcode::{EcLevel, QrCode, render::unicode::Dense1x2};

/// The square for a terminal, or `None` where there is no terminal, or one too narrow for it.
pub(super) fn square_for_terminal(link: &str) -> Option<String> {
    let columns = columns()?;
    let square = square(link)?;
    let width = square.lines().map(|line| line.chars().count()).max()?;
    // Black on white whatever the terminal's own colours are: not every camera reads it the other way round.
    let coloured = |line: &str| format!("\u{1b}[38;5;16;48;5;231m{line}\u{1b}[0m\n");
    (width <= columns).then(|| square.lines().map(coloured).collect())
}

/// The square, two rows of it to a line of text.
fn square(link: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(link, EcLevel::L).ok()?;
    Some(code.render::<Dense1x2>().build())
}

#[cfg(unix)]
fn columns() -> Option<usize> {
    if !io::stdout().is_terminal() {
        return None;
    }
    rustix::termios::tcgetwinsize(io::stdout()).ok().map(|size| size.ws_col.into())
}

#[cfg(not(unix))]
fn columns() -> Option<usize> {
    io::stdout().is_terminal().then_some(80)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wallet::nwc::{Allowance, Invitation};

    #[test]
    fn a_link_fits_a_terminal_of_eighty_columns() {
        let link = Invitation::new(&["wss://relay.getalby.com"]).unwrap().link(&Allowance::default());
        let square = square(&link).unwrap();
        let widths: Vec<usize> = square.lines().map(|line| line.chars().count()).collect();
        assert!(widths.iter().all(|w| *w == widths[0] && *w <= 80), "{widths:?}");
        assert!(square.chars().all(|c| " \u{2580}\u{2584}\u{2588}\n".contains(c)), "{square}");
    }
}
