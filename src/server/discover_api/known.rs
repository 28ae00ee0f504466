//! What the index knows of an address that is looked at, joined with what its seller says.

use url::Url;

use super::{
    Output,
    hit::basis,
    search::{seen, with_index},
    view::Next,
};
use crate::{
    catalog::{
        Basis, Endpoint, Example, Field, Flag, Input, Listed, Place,
        index::{Level, Listing, PriceNote},
    },
    purchase::{Caller, Purse},
};

/// What the index knows of an address that is looked at.
#[derive(Default)]
pub(super) struct Known {
    found: Option<(Listing, PriceNote)>,
    /// The known host that this one looks like.
    alike: Option<String>,
}

/// Looks an address up in the index.
pub(super) async fn listed(purse: &Purse, url: &str, method: Option<&str>) -> Known {
    let (Ok(url), method) = (Url::parse(url), method.map(str::to_ascii_uppercase)) else { return Known::default() };
    let known = with_index(purse.config().home.clone(), move |index| {
        let host = url.host_str().unwrap_or_default();
        let alike = index.known()?.looks_like(host).map(str::to_owned);
        Ok(Known { found: index.listed(method.as_deref(), &url)?, alike })
    });
    known.await.unwrap_or_default()
}

impl Known {
    /// Adds what is listed where the seller's own documents say nothing.
    pub(super) fn add_to(&self, endpoint: &mut Endpoint) {
        let Some((listing, note)) = &self.found else { return };
        let same = listing.method.is_empty() || listing.method == endpoint.method.as_str();
        let silent = endpoint.summary.is_empty() && endpoint.input.fields.is_empty() && endpoint.listed.is_empty();
        if silent && let Ok(method) = listing.method.parse() {
            endpoint.method = method;
        } else if !same {
            return;
        }
        if endpoint.summary.is_empty() {
            endpoint.summary = listing.name.clone();
        }
        if let Some(price) = listing.amount() {
            let by = format!("{} {}", note.source, note.as_of);
            endpoint.listed.push(Listed { price: Some(price), up_to: None, basis: basis(note), by });
        }
        endpoint.asks_payment |= !listing.is_free();
        if let Some(input) = listing.input.as_ref().filter(|_| endpoint.input.fields.is_empty()) {
            let field = |(name, kind): (&String, &String)| Field {
                name: name.clone(),
                place: if kind.ends_with("(path)") { Place::Path } else { Place::Body },
                required: input.required.contains(name),
                kind: kind.trim_end_matches(" (path)").to_owned(),
                about: String::new(),
            };
            let fields = input.properties.iter().map(field).collect();
            endpoint.input = Input { content_type: "application/json".into(), fields, more: 0 };
        }
        // What a pack shows is known to work; what another catalogue shows is made of a stranger's.
        let bundled = listing.level == Level::Bundled;
        if endpoint.example.as_ref().is_none_or(|e| bundled && !e.given)
            && let Some(json) = &listing.example
        {
            endpoint.example = Some(Example { json: json.clone(), given: false });
        }
    }

    /// Adds what only packs know.
    pub(super) fn finish(&self, output: &mut Output) {
        let (Some((listing, _)), Some(full)) = (&self.found, &mut output.endpoint) else { return };
        if !listing.charge_on_error.is_empty() {
            full.charge_on_error = listing.charge_on_error.clone();
        }
        if full.free_tier.is_none() && !listing.free.is_empty() {
            full.free_tier = Some(listing.free.clone());
        }
        if let (Level::Bundled, Some(json), Some(next)) = (listing.level, &listing.example, &mut output.next)
            && let Some(proposed) = next.arguments.get_mut("json")
            && full.example_unverified.as_ref() == Some(json)
        {
            *proposed = json.clone();
        }
        if listing.has("batch") {
            output.flag(Flag::Batch);
        }
    }

    /// Warns of a host that looks like another, and of paying there.
    pub(super) fn warn(&self, purse: &Purse, caller: &Caller, url: &str, output: &mut Output) {
        let Some(other) = &self.alike else { return };
        output.flag(Flag::LookalikeHost);
        for offer in output.offers.iter_mut().filter(|offer| offer.payable) {
            (offer.payable, offer.why) =
                (false, format!("its host's name looks like {other}, which is somebody else's"));
        }
        if let Ok(url) = Url::parse(url) {
            purse.warned_of(caller, &url, other);
        }
        output.say.push_str(&format!(
            " Its host's name looks like {other}, which is somebody else's: do not pay it unless a person says that it is meant."
        ));
        output.next = Some(Next::look(&format!("https://{other}/")));
    }
}

/// Remembers what an endpoint that was looked at asked, and what its caller was told.
pub(super) async fn remember(purse: &Purse, caller: &Caller, endpoint: &Endpoint, output: &Output) {
    let (Some(price), Some(basis)) = (output.price, output.price_basis) else { return };
    if let Ok(url) = Url::parse(&endpoint.url) {
        purse.told_price(caller, endpoint.method.as_str(), &url, price, basis.name());
    }
    if basis == Basis::Live {
        seen(purse, endpoint.method.as_str(), &endpoint.url, price).await;
    }
}
