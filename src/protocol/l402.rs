//! L402 and LSAT.

use serde::{Deserialize, Serialize};

use super::{Challenge, Credential, Seen};
use crate::secret::Secret;

/// What must be kept of an L402 challenge.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pin {
    /// `L402`, or `LSAT` where the server offered nothing else.
    pub scheme: String,
    /// The token, byte for byte as it was received.
    pub token: Secret,
    /// The invoice as it was received.
    pub invoice: String,
}

pub(super) fn read(_: Seen<'_>, _: &mut Challenge) {}

/// Makes the credential.
pub(super) fn credential(_: &Pin, _: &Secret) -> Option<Credential> {
    None
}
