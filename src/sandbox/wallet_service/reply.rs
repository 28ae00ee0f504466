//! What leaves: the info event, replies and notifications, encrypted and signed.

use std::sync::atomic::Ordering;

use nostr::prelude::{Event, EventBuilder, EventId, FinalizeEvent as _, Keys, Kind, Nip47Ciphers, Tag, Timestamp};
use serde_json::{Value, json};

use super::{Ciphers, Service, behaviour::Envelope};
use crate::sandbox::lock;

impl Service {
    /// The info event, kind 13194: the methods, and the encryption where the wallet knows the tag.
    pub(super) fn info(&self) -> Option<Event> {
        let tags = match *lock(&self.ciphers) {
            Ciphers::Both => vec![Tag::custom("encryption", ["nip44_v2 nip04"])],
            Ciphers::OnlyNip44 => vec![Tag::custom("encryption", ["nip44_v2"])],
            Ciphers::OnlyNip04 => vec![],
        };
        let notifications = self.options.notifications.then(|| Tag::custom("notifications", ["payment_sent"]));
        let extensions = self.options.fee_limits.then(|| Tag::custom("extensions", ["321"]));
        let tags = tags.into_iter().chain(notifications).chain(extensions).collect();
        self.sign_at(self.info_at.load(Ordering::SeqCst), 13194, self.options.methods.join(" "), tags, &self.wallet)
    }

    /// The answer to a relay that wants to know who we are (NIP-42).
    pub(super) fn identity(&self, relay: &str, challenge: &str) -> Option<Event> {
        let tags = vec![Tag::custom("relay", [relay]), Tag::custom("challenge", [challenge])];
        self.sign(22_242, String::new(), tags, &self.wallet)
    }

    /// Publishes the info event again.
    pub(super) fn announce(&self) {
        self.publish(self.info());
    }

    /// Publishes the reply to a request.
    pub(super) fn reply(&self, request: &Event, cipher: Nip47Ciphers, text: &str, envelope: Envelope) {
        let client = Tag::public_key(self.client.public_key());
        let to = |id: EventId| Tag::event(id);
        let tags = match envelope {
            Envelope::NoRequest => vec![client],
            Envelope::NoClient => vec![to(request.id)],
            Envelope::ForeignRequest => vec![client, to(EventId::from_byte_array(crate::random()))],
            Envelope::Proper | Envelope::ForeignAuthor => vec![client, to(request.id)],
        };
        let stranger = (envelope == Envelope::ForeignAuthor).then(Keys::generate);
        let content = self.encrypt(cipher, text);
        self.publish(content.and_then(|c| self.sign(23195, c, tags, stranger.as_ref().unwrap_or(&self.wallet))));
    }

    /// Publishes a `payment_sent` notification in the wallet's best encryption.
    pub(super) fn notify(&self, transaction: &Value) {
        let (cipher, kind) = match *lock(&self.ciphers) {
            Ciphers::OnlyNip04 => (Nip47Ciphers::NIP04, 23196),
            Ciphers::Both | Ciphers::OnlyNip44 => (Nip47Ciphers::NIP44V2, 23197),
        };
        let text = json!({"notification_type": "payment_sent", "notification": transaction}).to_string();
        let tags = vec![Tag::public_key(self.client.public_key())];
        self.publish(self.encrypt(cipher, &text).and_then(|c| self.sign(kind, c, tags, &self.wallet)));
    }

    fn encrypt(&self, cipher: Nip47Ciphers, text: &str) -> Option<String> {
        cipher.encrypt(self.wallet.secret_key(), &self.client.public_key(), &text.to_owned()).ok()
    }

    fn sign(&self, kind: u16, content: String, tags: Vec<Tag>, keys: &Keys) -> Option<Event> {
        self.sign_at(self.clock.now_s(), kind, content, tags, keys)
    }

    fn sign_at(&self, at_s: u64, kind: u16, content: String, tags: Vec<Tag>, keys: &Keys) -> Option<Event> {
        let at = Timestamp::from_secs(at_s);
        EventBuilder::new(Kind::from(kind), content).tags(tags).custom_created_at(at).finalize(keys).ok()
    }

    fn publish(&self, event: Option<Event>) {
        if let Some(event) = event {
            // Without a relay nobody listens, and the event is lost, as in life.
            let _ = self.outbox.send(json!(["EVENT", event]).to_string());
        }
    }
}
