//! The report for a spreadsheet.

use super::Report;

const HEADER: [&str; 18] = [
    "time",
    "session",
    "principal",
    "purchase",
    "host",
    "request",
    "asked",
    "paid",
    "fee",
    "held",
    "rail",
    "state",
    "http_status",
    "purpose",
    "note",
    "network",
    "transaction",
    "back",
];

impl Report {
    /// Writes the rows as CSV: a header, times in ISO 8601 (UTC), amounts such as `10 sat`.
    ///
    /// # Errors
    /// Whatever is written to cannot be written to.
    pub fn write_csv(&self, out: impl std::io::Write) -> std::io::Result<()> {
        let mut csv = csv::Writer::from_writer(out);
        csv.write_record(HEADER)?;
        for line in &self.rows {
            let row = &line.row;
            let amount = |a: Option<crate::money::Amount>| a.map(|a| a.to_string()).unwrap_or_default();
            csv.write_record([
                line.at.clone(),
                inert(row.session.as_deref().unwrap_or_default()),
                inert(&row.principal),
                inert(row.purchase.as_deref().unwrap_or_default()),
                inert(&row.host),
                inert(&row.path),
                amount(row.asked),
                amount(row.paid),
                amount(row.fee),
                amount(row.held),
                inert(&row.rail),
                inert(&row.state),
                row.http_status.map(|s| s.to_string()).unwrap_or_default(),
                inert(&row.purpose),
                inert(&row.note),
                inert(&row.network),
                inert(row.transaction.as_deref().unwrap_or_default()),
                amount(row.back),
            ])?;
        }
        csv.flush()
    }
}

/// A cell that no spreadsheet runs: what begins like a formula gets an apostrophe in front.
fn inert(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() }
}
