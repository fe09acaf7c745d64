//! Which instruction sets there are, and which of them this processor has.

use super::{Kernels, scalar};
#[cfg(all(feature = "std", target_arch = "x86_64"))]
use super::{amx, avx2, avx512};
#[cfg(all(feature = "std", target_arch = "aarch64"))]
use super::{dotprod, i8mm, neon};

/// Environment variable with the name of the instruction set to use instead of the best one.
pub const FORCE: &str = "TIPCAM_KERNEL";

/// An instruction set that has kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// Plain Rust, the specification.
    Scalar,
    /// x86-64 with AVX2, FMA and F16C.
    Avx2,
    /// The same with AVX-VNNI.
    AvxVnni,
    /// x86-64 with AVX-512 F, BW, VL and VNNI.
    Avx512,
    /// The same with AMX's tiles of i8.
    Amx,
    /// 64-bit ARM without dot products, such as Cortex-A53 and A72.
    Neon,
    /// 64-bit ARM with dot products, such as Cortex-A76.
    Dotprod,
    /// 64-bit ARM with 8-bit matrix products.
    I8mm,
}

impl Isa {
    /// Every instruction set, the better ones of a processor family later.
    pub const ALL: [Isa; 8] = [
        Isa::Scalar,
        Isa::Avx2,
        Isa::AvxVnni,
        Isa::Avx512,
        Isa::Amx,
        Isa::Neon,
        Isa::Dotprod,
        Isa::I8mm,
    ];

    /// The name that [`Isa::parse`] takes.
    pub const fn name(self) -> &'static str {
        match self {
            Isa::Scalar => "scalar",
            Isa::Avx2 => "avx2",
            Isa::AvxVnni => "avxvnni",
            Isa::Avx512 => "avx512",
            Isa::Amx => "amx",
            Isa::Neon => "neon",
            Isa::Dotprod => "dotprod",
            Isa::I8mm => "i8mm",
        }
    }

    /// The instruction set of that name.
    pub fn parse(name: &str) -> Option<Isa> {
        Isa::ALL.into_iter().find(|isa| isa.name() == name)
    }

    /// Its kernels, or `None` where the processor (or this build) lacks it.
    pub fn kernels(self) -> Option<&'static Kernels> {
        match self {
            Isa::Scalar => Some(&scalar::KERNELS),
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            Isa::Avx2 => avx2::detect(),
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            Isa::AvxVnni => avx2::detect_vnni(),
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            Isa::Avx512 => avx512::detect(),
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            Isa::Amx => amx::detect(),
            #[cfg(all(feature = "std", target_arch = "aarch64"))]
            Isa::Neon => neon::detect(),
            #[cfg(all(feature = "std", target_arch = "aarch64"))]
            Isa::Dotprod => dotprod::detect(),
            #[cfg(all(feature = "std", target_arch = "aarch64"))]
            Isa::I8mm => i8mm::detect(),
            _ => None,
        }
    }
}

/// The best kernels that the processor has; the scalar ones in a build without `std`.
///
/// The environment variable [`FORCE`] names others, for tests and comparisons; a name that the
/// processor lacks changes nothing here (the command line refuses it).
pub fn best() -> &'static Kernels {
    #[cfg(feature = "std")]
    if let Some(forced) =
        std::env::var(FORCE).ok().and_then(|name| Isa::parse(&name)).and_then(Isa::kernels)
    {
        return forced;
    }
    available().last().unwrap_or(&scalar::KERNELS)
}

/// The kernels of every instruction set that the processor has, the scalar ones first.
pub fn available() -> impl Iterator<Item = &'static Kernels> {
    Isa::ALL.into_iter().filter_map(Isa::kernels)
}
