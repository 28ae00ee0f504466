//! Invoices: what is read has an amount, and survives every clock.
#![no_main]

use bursar::protocol::bolt11::{Invoice, InvoicePolicy, MAX_DESCRIPTION};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(invoice) = Invoice::read(text) else { return };
    assert!(!invoice.amount.is_zero() && invoice.payment_hash.len() == 64 && invoice.payee.len() == 66);
    assert!(invoice.untrusted_description.chars().count() <= MAX_DESCRIPTION);
    for now in [0, invoice.created_s, invoice.expires_s, u64::MAX] {
        let _ = invoice.objections(now, &InvoicePolicy::default());
    }
});
