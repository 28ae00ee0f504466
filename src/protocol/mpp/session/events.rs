//! The events of a metered stream (draft-lightning-session-00, Streaming): when it pauses for money, and what it says that
//! it cost. All of it is the seller's word.

use serde_json::Value;

use super::super::{super::body, lightning::sats};

/// The longest event that is looked into, in bytes. A longer one is content and passes.
const MAX_EVENT: usize = 64 << 10;

/// What a stream says about its payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It pauses until the balance covers the next unit.
    NeedTopUp(Balance),
    /// It waited long enough and ends.
    Timeout(Balance),
    /// It is complete, and cost this many satoshi.
    Receipt {
        /// What was taken from the balance, in satoshi.
        spent_sat: u64,
    },
}

/// What is said of a balance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balance {
    /// The session's id.
    pub session: String,
    /// What was spent so far, in satoshi.
    pub spent_sat: u64,
    /// What the next unit costs, in satoshi.
    pub required_sat: u64,
}

/// Finds those events in a stream that comes in pieces of any size.
#[derive(Clone, Debug, Default)]
pub struct Events {
    line: Vec<u8>,
    name: Vec<u8>,
    data: Vec<u8>,
    after_cr: bool,
}

impl Events {
    /// Takes the next piece and tells what ended within it.
    pub fn feed(&mut self, piece: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        for &byte in piece {
            // Lines end with LF, CR or both together.
            if byte == b'\n' && std::mem::take(&mut self.after_cr) {
                continue;
            }
            self.after_cr = byte == b'\r';
            match byte {
                b'\n' | b'\r' => events.extend(self.end_of_line()),
                _ if self.line.len() < MAX_EVENT => self.line.push(byte),
                // Too long for one of ours: what was kept of it is no JSON any more.
                _ => {}
            }
        }
        events
    }

    fn end_of_line(&mut self) -> Option<Event> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            let (name, data) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data));
            return event(&name, &data);
        }
        let (field, value) = match line.iter().position(|b| *b == b':') {
            Some(at) => (&line[..at], line[at + 1..].strip_prefix(b" ").unwrap_or(&line[at + 1..])),
            None => (&line[..], &[][..]),
        };
        match field {
            b"event" => self.name = value.to_vec(),
            b"data" if self.data.len() + value.len() <= MAX_EVENT => {
                if !self.data.is_empty() {
                    self.data.push(b'\n');
                }
                self.data.extend_from_slice(value);
            }
            _ => {}
        }
        None
    }
}

fn event(name: &[u8], data: &[u8]) -> Option<Event> {
    if !matches!(name, b"payment-need-topup" | b"session-timeout" | b"payment-receipt") {
        return None;
    }
    let data = body::parse(std::str::from_utf8(data).ok()?)?;
    let number = |field: &str| data.get(field).and_then(sats);
    let balance = || {
        Some(Balance {
            session: data.get("sessionId").and_then(Value::as_str)?.to_owned(),
            spent_sat: number("balanceSpent")?,
            required_sat: number("balanceRequired")?,
        })
    };
    match name {
        b"payment-need-topup" => balance().map(Event::NeedTopUp),
        b"session-timeout" => balance().map(Event::Timeout),
        _ => Some(Event::Receipt { spent_sat: number("spent")? }),
    }
}
