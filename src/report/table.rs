//! The report for a terminal: one calm line a row, what it was for below it, and what it all comes to at the end.

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, Width, presets};

use super::{Line, Report, SessionLine, Totals, clock, date};
use crate::{ledger::Scope, money::Amount};

/// How far what belongs to a row stands in: the width of its time, and the gap after it.
const INDENT: usize = 10;
/// The narrowest and the widest table.
const WIDTHS: std::ops::RangeInclusive<usize> = 80..=100;

impl Report {
    /// Lays the report out for a terminal of so many columns (taken as 80 at least and 100 at most).
    pub fn to_table(&self, columns: usize) -> String {
        let width = columns.clamp(*WIDTHS.start(), *WIDTHS.end());
        let mut out = Vec::new();
        if let Some(session) = &self.session {
            out.extend(heading(session, width));
            out.push(String::new());
        }
        if self.rows.is_empty() {
            out.push("Nothing was bought and nothing was refused.".into());
        } else {
            out.extend(rows(&self.rows, width));
        }
        out.push(String::new());
        out.extend(totals(&self.totals));
        if !self.budgets.is_empty() {
            out.push(String::new());
            out.extend(budgets(self));
        }
        if !self.head.is_empty() {
            out.push(String::new());
            out.push(format!(
                "The ledger has {} lines. Note the last one's hash, and a ledger that was put",
                self.lines
            ));
            out.push("back to an older copy shows (bursar audit verify --head HASH):".into());
            out.push(self.head.clone());
        }
        out.push(String::new());
        out.join("\n")
    }
}

/// The session in a sentence.
fn heading(session: &SessionLine, width: usize) -> Vec<String> {
    let day_and_time = |iso: &str| iso.get(..19).unwrap_or(iso).replace('T', " ");
    let key = if session.key.is_empty() { String::new() } else { format!(" ({})", session.key) };
    let until = match &session.ended {
        Some(ended) => format!("ended {}", day_and_time(ended)),
        None => "still running".to_owned(),
    };
    wrap(&format!("Session {}{key}, began {}, {until} (UTC)", session.id, day_and_time(&session.started)), width)
}

/// The rows, under a heading for each day.
fn rows(rows: &[Line], width: usize) -> Vec<String> {
    let cells: Vec<[String; 6]> = rows.iter().map(cells).collect();
    let header = ["time", "host", "asked", "paid", "fee", "state"];
    let widest = |column: usize| {
        cells.iter().map(|c| c[column].chars().count()).chain([header[column].len()]).max().unwrap_or_default()
    };
    let others: usize = [0, 2, 3, 4, 5].into_iter().map(widest).sum::<usize>() + 5 * 2;
    let host_width = width.saturating_sub(others).clamp(12, 48).min(widest(1).max(24));
    let mut table = plain(&header);
    for row in &cells {
        let mut row = row.clone();
        row[1] = cut(&row[1], host_width);
        table.add_row(row);
    }
    if let Some(host) = table.column_mut(1) {
        host.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(host_width as u16 + 2)));
    }
    right_align(&mut table, 2..=4);
    // Every cell is one line, so each row is too, and what belongs to it can be put below it at full width.
    let mut lines = table.lines().map(|l| l.trim_end().to_owned());
    let mut out: Vec<String> = lines.next().into_iter().collect();
    let mut day = String::new();
    for (row, line) in rows.iter().zip(lines) {
        let today = date(row.row.at_ms);
        if today != day {
            out.push(format!("{today} (UTC)"));
            day = today;
        }
        out.push(line);
        for said in below(row, host_width) {
            out.extend(wrap(&said, width - INDENT).into_iter().map(|l| format!("{:INDENT$}{l}", "")));
        }
    }
    out
}

fn cells(line: &Line) -> [String; 6] {
    let row = &line.row;
    let moved = matches!(row.state.as_str(), "paid" | "delivered" | "undelivered" | "late");
    let amount = |a: Option<Amount>, show: bool| match a {
        Some(a) if show => a.to_string(),
        _ => "-".to_owned(),
    };
    let paid = match row.back {
        Some(back) => format!("+{back}"),
        None => amount(row.paid, moved),
    };
    let host = if row.host.is_empty() { "-".to_owned() } else { row.host.clone() };
    [clock(row.at_ms), host, amount(row.asked, true), paid, amount(row.fee, moved), row.state.replace('_', " ")]
}

/// What stands below a row: the request, how it was paid, why, and what a person may have to act upon.
fn below(line: &Line, host_width: usize) -> Vec<String> {
    let row = &line.row;
    let mut what = String::new();
    if row.host.chars().count() > host_width {
        what.push_str(&format!("{} ", row.host));
    }
    what.push_str(&row.path);
    if !row.rail.is_empty() {
        what.push_str(&format!(" by {}", row.rail));
    }
    // Lightning's own network goes without saying.
    if !matches!(row.network.as_str(), "" | "bitcoin") {
        what.push_str(&format!(" on {}", row.network));
    }
    if !row.purpose.is_empty() {
        what.push_str(&format!(", for \"{}\"", row.purpose));
    }
    let mut out = vec![what];
    // So short that a hash stays on one line of a narrow terminal, where it can be copied.
    out.extend(row.transaction.iter().map(|hash| format!("tx {hash}")));
    let mut why = row.note.clone();
    if let Some(status) = row.http_status.filter(|s| !(200..300).contains(s)) {
        why = if why.is_empty() { format!("HTTP {status}") } else { format!("HTTP {status}: {why}") };
    }
    if let Some(held) = row.held.filter(|h| !h.is_zero()) {
        let still = format!("{held} are held for it");
        why = if why.is_empty() { still } else { format!("{why}; {still}") };
    }
    if !why.is_empty() {
        out.push(format!("why: {why}"));
    }
    if let Some(id) = row.purchase.as_ref().filter(|_| !matches!(row.state.as_str(), "delivered" | "failed")) {
        out.push(id.clone());
    }
    out.retain(|l| !l.trim().is_empty());
    out
}

fn totals(totals: &Totals) -> Vec<String> {
    let mut out = Vec::new();
    if !totals.money.is_empty() {
        let mut table = plain(&["", "to sellers", "fees", "spent", "held"]);
        for money in &totals.money {
            let amounts = [money.paid, money.fees, money.spent, money.held].map(|a| a.to_string());
            table.add_row(["together".to_owned()].into_iter().chain(amounts));
        }
        right_align(&mut table, 1..=4);
        out.extend(table.lines().map(|l| l.trim_end().to_owned()));
    }
    for back in totals.money.iter().filter_map(|money| money.back) {
        out.push(format!("{back} of the deposits among it came back"));
    }
    let one = |n: u64, one: &str, more: &str| format!("{n} {}", if n == 1 { one } else { more });
    out.push(format!(
        "{}, {} refused, {} free of charge",
        one(totals.purchases, "purchase", "purchases"),
        totals.refused,
        one(totals.reused, "token re-use", "token re-uses"),
    ));
    out
}

fn budgets(report: &Report) -> Vec<String> {
    let mut table = plain(&["limit now", "at most", "spent", "held", "left", "ceiling"]);
    for b in &report.budgets {
        let used = b.scope != Scope::Purchase;
        let amount = |a: Amount| if used { a.to_string() } else { "-".to_owned() };
        let (limit, ceiling) = (b.limit.to_string(), b.ceiling.to_string());
        table.add_row([b.scope.name().to_owned(), limit, amount(b.spent), amount(b.held), amount(b.left), ceiling]);
    }
    right_align(&mut table, 1..=5);
    table.lines().map(|l| l.trim_end().to_owned()).collect()
}

/// A table without lines, two spaces between its columns.
fn plain(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.iter().copied());
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

fn right_align(table: &mut Table, columns: std::ops::RangeInclusive<usize>) {
    for column in columns {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

/// Breaks a text into lines of at most `width` columns, at spaces where it can.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(u16::try_from(width).unwrap_or(u16::MAX))
        .add_row([text]);
    if let Some(column) = table.column_mut(0) {
        column.set_padding((0, 0));
    }
    table.lines().map(|l| l.trim_end().to_owned()).collect()
}

/// The beginning of a text, with a mark where it was cut.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// The sessions as a table, newest first.
pub fn sessions(sessions: &[SessionLine]) -> String {
    let mut table = plain(&["session", "began (UTC)", "last used", "ended", "spent", "key"]);
    let short = |iso: &str| iso.get(..16).unwrap_or(iso).replace('T', " ");
    for s in sessions {
        let spent: Vec<String> = s.money.iter().filter(|m| !m.spent.is_zero()).map(|m| m.spent.to_string()).collect();
        let spent = if spent.is_empty() { "-".to_owned() } else { spent.join(", ") };
        let last = s.last_used.get(11..16).unwrap_or_default();
        let ended = s.ended.as_deref().map_or("runs".to_owned(), |e| e.get(11..16).unwrap_or_default().to_owned());
        // Beyond a day, a time alone would mislead.
        let same_day = |iso: &str| iso.get(..10) == s.started.get(..10);
        let last = if same_day(&s.last_used) { last.to_owned() } else { short(&s.last_used) };
        let ended = match &s.ended {
            Some(e) if !same_day(e) => short(e),
            _ => ended,
        };
        table.add_row([s.id.clone(), short(&s.started), last, ended, spent, cut(&s.key, 24)]);
    }
    right_align(&mut table, 4..=4);
    let mut out = table.trim_fmt();
    out.push('\n');
    out
}
