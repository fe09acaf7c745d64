//! AMX: matrix products over tiles of 16 rows by 64 bytes; everything else is AVX-512's.
//!
//! A packed panel is a column of such tiles as it lies: 16 groups of 4 inputs, for 16 outputs each.

mod gemm;
mod tile;

use super::{Isa, Kernels, avx512};
use gemm::{gemm, peak, scratch};

static KERNELS: Kernels = Kernels { isa: Isa::Amx, gemm, scratch, peak, ..avx512::KERNELS_VBMI };

/// Asks the system, once, to keep the tiles of this process's threads: it does so only for those who
/// ask.
pub(super) fn detect() -> Option<&'static Kernels> {
    static PERMITTED: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    let permitted = || *PERMITTED.get_or_init(|| tile::exist() && tile::permission());
    let has = avx512::detect().is_some() && is_x86_feature_detected!("avx512vbmi");
    (has && permitted()).then_some(&KERNELS)
}
