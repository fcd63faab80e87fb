//! The environment variables that this crate reads.

/// Holds the user's key.
pub(crate) const KEY: &str = "TNG_API_KEY";
/// Holds another address of the API.
pub(crate) const API: &str = "FINESCALE_TNG_API";
