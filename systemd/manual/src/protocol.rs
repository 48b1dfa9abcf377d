//! `aesync-ipc(7)`, from the reference of the protocol.

use crate::markdown;
use crate::page::{begin, see_also};

const REFERENCE: &str = include_str!("../../../protocol/README.md");

/// The page.
pub(crate) fn page() -> String {
    let mut roff = begin("aesync-ipc", "7", "how local applications talk to aesyncd");
    markdown::write(REFERENCE, &mut roff);
    see_also(&mut roff, &["aesyncd(8)", "aectl(1)"]);
    roff.render()
}
