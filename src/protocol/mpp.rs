//! MPP, the scheme `Payment`: recognised, so that it is never dropped in silence, and not paid yet.

use super::{Challenge, Objection, Offer, Page, Protocol, Rail, text::clean};

/// Lists every `Payment` challenge with the method and the intent that it names.
pub(super) fn read(page: &Page<'_>, challenge: &mut Challenge) {
    for raw in page.listing.challenges.iter().filter(|raw| raw.is("Payment")) {
        let param = |name: &str| {
            let value = raw.one(name).ok().flatten().unwrap_or_default();
            clean(&String::from_utf8_lossy(value), 40)
        };
        challenge.offers.push(Offer {
            remarks: vec![format!("MPP by method \"{}\", intent \"{}\"", param("method"), param("intent"))],
            ..Offer::listed(
                Protocol::Mpp,
                Rail::UNKNOWN,
                Objection::new("unsupported", "this version of Bursar does not pay MPP yet"),
            )
        });
    }
}
