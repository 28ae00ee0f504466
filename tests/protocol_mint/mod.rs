//! Mints what the protocol tests need: signed invoices and macaroons of every kind.
#![allow(dead_code, reason = "each test file uses its own part")]

use bitcoin::{
    hashes::{Hash as _, sha256},
    secp256k1::{Message, Secp256k1, SecretKey},
};
use bursar::protocol::{Challenge, Offer, Protocol, Seen, Way, read};
use http::{HeaderMap, header::WWW_AUTHENTICATE};
use lightning_invoice::{
    Currency, Description, ExpiryTime, PayeePubKey, PaymentSecret, PositiveTimestamp, PrivateRoute, RawBolt11Invoice,
    RawDataPart, RawHrp, RawTaggedField, RouteHint, RouteHintHop, RoutingFees, Sha256, SiPrefix, TaggedField,
};

/// The test clock.
pub const NOW: u64 = 1_795_000_000;

/// The preimage of the default invoice: 32 times `07`.
pub const PREIMAGE: &str = "0707070707070707070707070707070707070707070707070707070707070707";

/// An invoice in the making.
#[derive(Clone)]
pub struct Mint {
    pub currency: Currency,
    pub amount: Option<u64>,
    pub prefix: Option<SiPrefix>,
    pub preimage: [u8; 32],
    pub created: u64,
    pub expiry: Option<u64>,
    pub description: String,
    pub hints: usize,
}

impl Default for Mint {
    fn default() -> Mint {
        Mint {
            currency: Currency::Bitcoin,
            amount: Some(210),
            prefix: Some(SiPrefix::Nano),
            preimage: [7; 32],
            created: NOW - 5,
            expiry: Some(600),
            description: "L402".into(),
            hints: 0,
        }
    }
}

impl Mint {
    /// An invoice of `amount` with a multiplier.
    pub fn of(amount: u64, prefix: Option<SiPrefix>) -> Mint {
        Mint { amount: Some(amount), prefix, ..Mint::default() }
    }

    /// An invoice of whole satoshi.
    pub fn sat(sat: u64) -> Mint {
        Mint::of(sat * 10, Some(SiPrefix::Nano))
    }

    pub fn hash(&self) -> [u8; 32] {
        sha256::Hash::hash(&self.preimage).to_byte_array()
    }

    pub fn hash_hex(&self) -> String {
        data_encoding::HEXLOWER.encode(&self.hash())
    }

    /// Signs the invoice with a test key, whatever it says.
    pub fn text(&self) -> String {
        let secp = Secp256k1::new();
        let key = SecretKey::from_slice(&[41; 32]).unwrap();
        let hop = RouteHintHop {
            src_node_id: key.public_key(&secp),
            short_channel_id: 1,
            fees: RoutingFees { base_msat: 1, proportional_millionths: 1 },
            cltv_expiry_delta: 1,
            htlc_minimum_msat: None,
            htlc_maximum_msat: None,
        };
        let mut fields = vec![
            TaggedField::PaymentHash(Sha256(sha256::Hash::from_byte_array(self.hash()))),
            TaggedField::PayeePubKey(PayeePubKey(key.public_key(&secp))),
            TaggedField::PaymentSecret(PaymentSecret([3; 32])),
        ];
        // The constructor refuses what does not fit into one field; a hostile invoice is long by other means.
        if let Ok(description) = Description::new(self.description.clone()) {
            fields.push(TaggedField::Description(description));
        }
        let features = lightning_features();
        fields.push(features);
        fields.extend(self.expiry.map(|s| TaggedField::ExpiryTime(ExpiryTime::from_seconds(s))));
        fields.extend(
            (0..self.hints)
                .map(|_| TaggedField::PrivateRoute(PrivateRoute::new(RouteHint(vec![hop.clone()])).unwrap())),
        );
        let raw = RawBolt11Invoice {
            hrp: RawHrp { currency: self.currency.clone(), raw_amount: self.amount, si_prefix: self.prefix },
            data: RawDataPart {
                timestamp: PositiveTimestamp::from_unix_timestamp(self.created).unwrap(),
                tagged_fields: fields.into_iter().map(RawTaggedField::KnownSemantics).collect(),
            },
        };
        let sign = |message: &Message| Ok::<_, ()>(secp.sign_ecdsa_recoverable(message, &key));
        raw.sign(sign).unwrap().to_string()
    }
}

/// The feature field of an ordinary invoice, taken from one, since its type lives in another crate.
fn lightning_features() -> TaggedField {
    let vector = "lnbc25m1pvjluezpp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdq5vdhkven9v5sxyetpdeessp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygs9q5sqqqqqqqqqqqqqqqqsgq2a25dxl5hrntdtn6zvydt7d66hyzsyhqs4wdynavys42xgl6sgx9c4g7me86a27t07mdtfry458rtjr0v92cnmswpsjscgt2vcse3sgpz3uapa";
    let invoice: lightning_invoice::Bolt11Invoice = vector.parse().unwrap();
    invoice.tagged_fields().find(|f| matches!(f, TaggedField::Features(_))).unwrap().clone()
}

/// A version 2 macaroon, as aperture mints it.
pub fn macaroon_v2(id: &[u8], caveats: &[&str]) -> Vec<u8> {
    fn field(out: &mut Vec<u8>, kind: u8, data: &[u8]) {
        out.push(kind);
        let mut len = data.len();
        while len > 0x7f {
            out.push(len as u8 | 0x80);
            len >>= 7;
        }
        out.push(len as u8);
        out.extend(data);
    }
    let mut out = vec![2];
    field(&mut out, 1, b"lsat");
    field(&mut out, 2, id);
    out.push(0);
    for caveat in caveats {
        field(&mut out, 2, caveat.as_bytes());
        out.push(0);
    }
    out.push(0);
    field(&mut out, 6, &[9; 32]);
    out
}

/// A version 1 macaroon, as macaroons.js mints it.
pub fn macaroon_v1(id: &[u8], caveats: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut packet = |key: &str, data: &[u8]| {
        out.extend(format!("{:04x}{key} ", 4 + key.len() + 1 + data.len() + 1).as_bytes());
        out.extend(data);
        out.push(b'\n');
    };
    packet("location", b"https://www.example.com");
    packet("identifier", id);
    caveats.iter().for_each(|c| packet("cid", c.as_bytes()));
    packet("signature", &[9; 32]);
    out
}

/// The 66 bytes of L402's identifier version 0.
pub fn id_v0(hash: [u8; 32]) -> Vec<u8> {
    [&[0, 0][..], &hash, &[5; 32]].concat()
}

/// An aperture-like token bound to an invoice.
pub fn token_for(mint: &Mint) -> String {
    data_encoding::BASE64.encode(&macaroon_v2(&id_v0(mint.hash()), &[]))
}

/// Reads an answer with these `WWW-Authenticate` lines and this body.
pub fn answer(status: u16, lines: &[&[u8]], body: &[u8]) -> Challenge {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(WWW_AUTHENTICATE, http::HeaderValue::from_bytes(line).unwrap());
    }
    let url = "https://seller.example/api/search-quotes?q=1".parse().unwrap();
    read(Seen { url: &url, status, headers: &headers, body })
}

/// Reads a 402 with one challenge line.
pub fn line(line: &str) -> Challenge {
    answer(402, &[line.as_bytes()], b"payment required\n")
}

/// The L402 offers.
pub fn l402_offers(challenge: &Challenge) -> Vec<&Offer> {
    challenge.offers.iter().filter(|o| o.protocol == Protocol::L402).collect()
}

/// The only L402 offer.
#[track_caller]
pub fn only(challenge: &Challenge) -> &Offer {
    let offers = l402_offers(challenge);
    assert_eq!(offers.len(), 1, "{challenge:#?}");
    offers[0]
}

/// Scheme, token and invoice of an offer that could be paid.
#[track_caller]
pub fn pinned(offer: &Offer) -> (String, String, String) {
    match &offer.way {
        Way::Pay(pin) => {
            let bursar::protocol::Pin::L402(pin) = &**pin else { panic!("not L402") };
            (pin.scheme.clone(), pin.token.expose().to_owned(), pin.invoice.clone())
        }
        other => panic!("{other:?} is no payment: {:?}", offer.objections),
    }
}

/// The objections' codes.
pub fn codes(offer: &Offer) -> Vec<&'static str> {
    offer.objections.iter().map(|o| o.code).collect()
}
