/// Puts the file where an asset may start.
#[cfg(linked_asset)]
#[repr(C, align(64))]
struct Aligned<T: ?Sized>(T);

/// The asset that is linked into this program: `models/default.tipcam`, or the file that
/// `TIPCAM_ASSET` named when it was built; none if it was built without one.
#[must_use]
pub fn linked() -> Option<&'static [u8]> {
    #[cfg(linked_asset)]
    {
        static LINKED: &Aligned<[u8]> = &Aligned(*include_bytes!(env!("TIPCAM_LINKED_ASSET")));
        Some(&LINKED.0)
    }
    #[cfg(not(linked_asset))]
    None
}

#[cfg(all(test, linked_asset))]
mod tests {
    use std::fmt::Write;

    use sha2::{Digest, Sha256};

    use super::*;
    use crate::asset::Asset;

    /// The card of the file in the repository, not of one that `TIPCAM_ASSET` names.
    #[test]
    fn the_model_card_describes_the_linked_asset() {
        let models = concat!(env!("CARGO_MANIFEST_DIR"), "/models");
        let file = std::fs::read(format!("{models}/default.tipcam")).unwrap();
        if linked() != Some(&file[..]) {
            println!("left out: another asset is linked in");
            return;
        }
        let card = std::fs::read_to_string(format!("{models}/MODEL_CARD.md")).unwrap();
        let mut sum = String::new();
        Sha256::digest(&file).iter().for_each(|byte| write!(sum, "{byte:02x}").unwrap());
        let asset = Asset::open(linked().unwrap()).unwrap();
        let encoder = asset.container.encoder_id().to_string();
        for fact in [sum, encoder] {
            assert!(card.contains(&format!("`{fact}`")), "MODEL_CARD.md does not say {fact}");
        }
    }
}
