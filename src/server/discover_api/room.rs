//! How much is told: what a model reads is paid for by the word, and a seller must not decide how much that is.

use super::{Output, words};
use crate::protocol::text::clean;

/// The most that is told of five results, of a host, and of one result or endpoint with all that is known of it: below 900
/// and 1,200 tokens. A token of two well-known vocabularies is 3.2 letters or more of what is usually told, and 3 are counted.
pub(super) const SEARCH: usize = 2_690;
pub(super) const HOST: usize = 3_500;
pub(super) const ONE: usize = 3_500;

/// How much it is, in the longer of its two forms. What a seller could write to make few letters many tokens counts as many
/// as it can come to: a token a byte outside ASCII, and two for what stands for a byte in an address.
pub(super) fn size(output: &Output) -> usize {
    let unit = |c: char| match c {
        '%' => 5,
        _ if c.is_ascii_uppercase() => 2,
        _ if c.is_ascii() => 1,
        _ => 3 * c.len_utf8(),
    };
    let weigh = |text: &str| text.chars().map(unit).sum::<usize>();
    let json = serde_json::to_string(output).map_or(0, |text| weigh(&text));
    json.max(weigh(&words::lines(output)))
}

/// What is left out, one after the other, until the rest fits; what a call needs goes last.
const LESS: [fn(&mut Output); 14] = [
    |output| output.notes_unverified.truncate(2),
    |output| fields(output, 12),
    |output| output.sources.clear(),
    |output| abouts(output),
    |output| output.offers.iter_mut().for_each(|offer| offer.why = clean(&offer.why, 100)),
    |output| example(output),
    |output| fields(output, 6),
    |output| offers(output, 4),
    |output| {
        output.notes_unverified.clear();
        output.provider_unverified = None;
        if let Some(full) = &mut output.endpoint {
            full.listed.truncate(2);
            full.summary_unverified = clean(&full.summary_unverified, 60);
        }
    },
    |output| offers(output, 1),
    |output| fields(output, 0),
    // The address of an endpoint stands in the next call, too.
    |output| output.url = output.url.take().filter(|url| url.len() <= 200),
    |output| short_address(output),
    |output| {
        if output.next.take().is_some() {
            output
                .say
                .push_str(" The next call is too long to be told: make it yourself, with the address that you gave.");
        }
    },
];

/// Leaves out of an endpoint what there is no room for.
pub(super) fn fit(output: &mut Output) {
    for less in LESS {
        if size(output) <= ONE {
            return;
        }
        less(output);
    }
    output.say = clean(&output.say, 1_000);
}

/// Tells of an endpoint in a few words.
pub(super) fn brief(output: &mut Output) {
    fields(output, 6);
    abouts(output);
    example(output);
    output.sources.clear();
}

fn fields(output: &mut Output, most: usize) {
    if let Some(full) = &mut output.endpoint {
        full.input.keep(most);
        let input = &full.input;
        full.fields_unverified.retain(|name, _| input.properties.contains_key(name));
    }
}

fn abouts(output: &mut Output) {
    if let Some(full) = &mut output.endpoint {
        full.fields_unverified.clear();
    }
}

fn example(output: &mut Output) {
    if let Some(full) = &mut output.endpoint {
        (full.example_unverified, full.example_given) = (None, false);
    }
}

fn offers(output: &mut Output, most: usize) {
    let all = output.offers.len();
    // What can be paid is told first.
    output.offers.sort_by_key(|offer| !offer.payable);
    output.offers.truncate(most);
    if all > output.offers.len() {
        output.say.push_str(&format!(" Of {all} offers {} are told.", output.offers.len()));
    }
}

fn short_address(output: &mut Output) {
    if let Some(full) = &mut output.endpoint {
        full.url = clean(&full.url, 200);
    }
}
