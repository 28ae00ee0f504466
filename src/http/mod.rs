//! The guarded client: where we may connect, how much we read, no credential leaves its origin.
