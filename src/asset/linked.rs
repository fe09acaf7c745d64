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
