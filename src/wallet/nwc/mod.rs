//! Nostr Wallet Connect.
